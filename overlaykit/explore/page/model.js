// What Python packed (overlaykit/explore/_encode.py), unpacked: paths, what each layer does to them, and waste.

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(plain).text());
}

const KINDS = { added: "added", modified: "changed", deleted: "removed" };

function buildModel(raw) {
  const count = raw.names.length;
  const parents = Int32Array.from(raw.parents, (distance, path) => path - distance);
  const kinds = raw.kinds.map((kind) => KINDS[kind]);
  const model = { raw, count, parents, names: raw.names, layers: raw.layers, changes: [], changesOf: new Array(count) };

  raw.changes.forEach((columns, layer) => {
    let path = 0;
    const list = columns.path.map((step, row) => {
      path += step;
      const [type, mode, uid, gid] = raw.attributes[columns.attributes[row]];
      const change = {
        layer, path, type, mode, uid, gid,
        kind: kinds[columns.kind[row]],
        aspects: columns.aspects[row],
        size: columns.size[row],
        stored: columns.stored[row],
        time: columns.times[columns.time[row]],
        target: columns.targets[row],
        link: columns.links[row],
        waste: null,
      };
      (model.changesOf[path] ||= []).push(change);
      return change;
    });
    model.changes.push(list);
  });

  model.waste = raw.waste.map(([path, layer, hiddenBy, cause, size, aspects, movedTo]) => (
    { path, layer, hiddenBy, cause: raw.causes[cause], bytes: size, aspects, movedTo: movedTo < 0 ? null : movedTo }
  ));
  model.hiddenBy = raw.layers.map(() => new Map());
  for (const waste of model.waste) {
    const hidden = model.hiddenBy[waste.hiddenBy];
    hidden.set(waste.path, (hidden.get(waste.path) || 0) + waste.bytes);
    // Where an archive has a path twice, the change is that of the second.
    if (waste.layer === waste.hiddenBy) continue;
    const change = (model.changesOf[waste.path] || []).find((one) => one.layer === waste.layer);
    if (change) change.waste = waste;
  }
  model.twice = raw.duplicates.map(([size, again, flat]) => {
    const places = [];
    for (let at = 0; at < flat.length; at += 2) places.push({ path: flat[at], layer: flat[at + 1] });
    return { size, places, bytes: again };
  });
  model.children = childrenOf(model);
  return model;
}

// The paths in each directory, by the order of their names.
function childrenOf(model) {
  const children = new Array(model.count);
  for (let path = 1; path < model.count; path += 1) (children[model.parents[path]] ||= []).push(path);
  const names = model.names;
  for (const list of children) if (list) list.sort((one, other) => (names[one] < names[other] ? -1 : 1));
  return children;
}

function pathText(model, path) {
  const parts = [];
  for (let at = path; at; at = model.parents[at]) parts.push(model.names[at]);
  return parts.reverse().join("/") || "/";
}

// The last that any layer up to one did to a path.
function lastChange(model, path, layer) {
  const changes = model.changesOf[path];
  let found = null;
  if (changes) {
    for (const change of changes) {
      if (change.layer > layer) break;
      found = change;
    }
  }
  return found;
}

function changeAt(model, path, layer) {
  const found = lastChange(model, path, layer);
  return found && found.layer === layer ? found : null;
}

function aspectText(model, aspects) {
  return model.raw.aspects.filter((_, bit) => aspects & (1 << bit)).map((name) => WORDS[name] || name).join(", ");
}

function layerTitle(model, layer) {
  const one = model.layers[layer];
  if (one.container) return `container ${visible(model.raw.container)}, writable`;
  return oneLine(one.text) || `layer ${one.diffId.replace(/^sha256:/, "").slice(0, 12)}`;
}

function layerMark(model, layer) {
  return model.layers[layer].container ? "top" : String(layer);
}

function findPath(model, text) {
  for (let path = 0; path < model.count; path += 1) {
    if (text.endsWith(visible(model.names[path])) && visible(pathText(model, path)) === text) return path;
  }
  return null;
}
