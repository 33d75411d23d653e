// Where the bytes are: areas in proportion to them, a directory and what is in it (squarified, after Bruls, Huizing and van Wijk).

const MOST = 60;
const SMALLEST = 14;
const DEEPEST = 8;

function renderMap(app) {
  const { model, view, state, actions } = app;
  const map = byId("map");
  const focus = view.shown[state.focus] ? state.focus : 0;
  const hides = !view.merged && view.main[0] === 0 && view.side[0] > 0;
  const values = hides ? view.side : view.main;
  renderCrumbs(app, focus, values[focus], hides ? view.sideTitle : view.mainTitle);
  renderLegend(app);
  const width = map.clientWidth;
  const height = map.clientHeight;
  const tiles = [];
  place(tilesOf(focus), 0, 0, width, height, (path, x, y, w, h) => {
    const tile = tileOf(path, x, y, w, h, "button");
    tiles.push(tile);
    fill(tile, path, w, h, 1);
  });
  if (!tiles.length) tiles.push(element("p.nothing", {}, view.merged ? "No bytes to show here." : "This layer stores no content here."));
  map.replaceChildren(...tiles);

  function tilesOf(path) {
    const list = (model.children[path] || []).filter((child) => view.shown[child] && values[child] > 0);
    return list.sort((a, b) => values[b] - values[a]).slice(0, MOST).map((child) => [child, values[child]]);
  }

  // What is in a directory, as deep as there is room.
  function fill(tile, path, w, h, depth) {
    if (depth > DEEPEST || w < 46 || h < 44 || !hasChildren(view, path)) return;
    tile.classList.add("open");
    place(tilesOf(path), 0, 0, w - 6, h - 24, (inner, x, y, iw, ih) => {
      if (iw < 4 || ih < 4) return;
      const made = tileOf(inner, x + 2, y + 20, iw, ih, "span");
      tile.append(made);
      fill(made, inner, iw, ih, depth + 1);
    });
  }

  function tileOf(path, x, y, w, h, tag) {
    const amount = values[path];
    const directory = hasChildren(view, path);
    const shows = directory ? largestBelow(path) : path;
    const change = lastChange(model, shows, state.layer);
    const here = changeAt(model, shows, state.layer);
    const wasted = view.merged ? view.side[path] >= amount : !directory && change && change.waste !== null;
    const kind = hides ? "removed" : view.merged ? "of" : here ? here.kind : "same";
    const name = visible(model.names[path]);
    const note = `${pathLine(model, path)}${directory ? "/" : ""}\n${bytes(amount)}${wasted ? "\nwasted" : ""}`;
    const made = element(`${tag}.tile.${kind}${wasted ? ".wasted" : ""}`, {
      type: tag === "button" ? "button" : null, "data-path": path, "data-note": note,
      "aria-label": tag === "button" ? `${name}, ${bytes(amount)}${directory ? ", directory" : ""}${wasted ? ", wasted" : ""}` : null,
      css: { left: `${x}px`, top: `${y}px`, width: `${Math.max(1, w - 2)}px`, height: `${Math.max(1, h - 2)}px`, "--hue": layerHue(change ? change.layer : 0, model.layers.length) },
      onclick: (event) => { event.stopPropagation(); if (directory) actions.focusMap(path); else actions.reveal(path); },
    });
    if (w > 34 && h > SMALLEST) {
      made.append(element("span.tile-name", {}, name));
      if (w > 110) made.append(element("span.tile-size", {}, bytes(amount)));
    }
    return made;
  }

  // The file that takes the most of a directory gives it its colour.
  function largestBelow(path) {
    let at = path;
    for (;;) {
      let best = null;
      for (const child of model.children[at] || []) if (view.shown[child] && (best === null || values[child] > values[best])) best = child;
      if (best === null) return at;
      at = best;
    }
  }
}

function pathLine(model, path) {
  return visible(pathText(model, path));
}

function renderCrumbs({ model, actions }, focus, amount, title) {
  const parts = [];
  for (let at = focus; at; at = model.parents[at]) parts.push(at);
  const crumb = (path, text) => element("button", { type: "button", onclick: () => actions.focusMap(path) }, text);
  const items = [crumb(0, "/")];
  for (const path of parts.reverse()) items.push(crumb(path, visible(model.names[path])), "/");
  if (items.length > 1) items.pop();
  byId("crumbs").replaceChildren(...items, element("span.dim", {}, ` ${title.toLowerCase()} ${bytes(amount)}`));
}

function renderLegend({ model, view }) {
  const key = (kind, text, hue) => element("span.key", {}, element(`i.${kind}`, { css: hue === undefined ? {} : { "--hue": hue } }), text);
  const keys = view.merged
    ? model.layers.slice(0, 8).map((_, layer) => key("of", model.layers[layer].container ? "container" : `layer ${layer}`, layerHue(layer, model.layers.length))).concat(model.layers.length > 8 ? [element("span.dim", {}, "…")] : [])
    : [key("added", "+ added"), key("changed", "~ changed")];
  byId("legend").replaceChildren(...keys, key("wasted", "wasted"));
}

// Put [path, value] pairs, the largest first, into a rectangle.
function place(items, x, y, w, h, put) {
  let total = items.reduce((sum, item) => sum + item[1], 0);
  let at = 0;
  while (at < items.length && w > 0.5 && h > 0.5 && total > 0) {
    const side = Math.min(w, h);
    const scale = (w * h) / total;
    let end = at;
    let sum = 0;
    let worst = Infinity;
    while (end < items.length) {
      const next = sum + items[end][1];
      const strip = (next * scale) / side;
      const ratio = Math.max((items[at][1] * scale) / strip / strip, (strip * strip) / (items[end][1] * scale));
      if (ratio > worst) break;
      worst = ratio;
      sum = next;
      end += 1;
    }
    const strip = (sum * scale) / side;
    let along = 0;
    for (let one = at; one < end; one += 1) {
      const length = (items[one][1] / sum) * side;
      if (w >= h) put(items[one][0], x, y + along, strip, length);
      else put(items[one][0], x + along, y, length, strip);
      along += length;
    }
    if (w >= h) { x += strip; w -= strip; } else { y += strip; h -= strip; }
    total -= sum;
    at = end;
  }
}
