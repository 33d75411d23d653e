// What is wasted and what is there twice, as lists.

const FIRST = 200;

function renderWaste({ model, actions }) {
  const panel = byId("panel-waste");
  byId("waste-count").textContent = number(model.waste.length);
  if (!model.waste.length) {
    panel.replaceChildren(element("p.nothing.good", {}, "Nothing is wasted: every byte that a layer stores shows in the end."));
    return;
  }
  const groups = new Map();
  for (const waste of model.waste) {
    const key = `${waste.hiddenBy} ${waste.cause}`;
    if (!groups.has(key)) groups.set(key, { ...waste, files: 0, bytes: 0, paths: [] });
    const group = groups.get(key);
    group.files += 1;
    group.bytes += waste.bytes;
    group.paths.push(waste.path);
  }
  const sorted = [...groups.values()].sort((one, other) => other.bytes - one.bytes);
  panel.replaceChildren(
    element("div.cards", {}, ...sorted.map((group) => card(model, group, actions))),
    table(["Wasted", "Path", "Stored by", "Hidden by", "How"], model.waste, (waste) => [
      bytes(waste.bytes),
      element("button.link", { type: "button", onclick: () => actions.jump(waste.layer, waste.path) }, pathLine(model, waste.path)),
      mark(model, waste.layer, actions),
      mark(model, waste.hiddenBy, actions),
      element(`span.cause.${waste.cause}`, {}, causeText(model, waste)),
    ]));
}

const HELP = {
  deleted: "Remove it in the instruction that makes it, or do not bring it in.",
  replaced: "Bring only the version that stays.",
  rewritten: "COPY --chown and COPY --chmod set owner and mode without a second copy.",
  moved: "Put it where it belongs at once.",
};

function card(model, group, actions) {
  const share = group.bytes / model.raw.stored;
  return element("article.card", {},
    element("header", {}, mark(model, group.hiddenBy, actions), element(`span.cause.${group.cause}`, {}, group.cause), element("strong", {}, bytes(group.bytes))),
    element("span.meter", { "aria-hidden": "true" }, element("span", { css: { width: `${share * 100}%` } })),
    element("p", {}, `${plural(group.files, "file")} in ${visible(pathText(model, common(model, group.paths)))}, ${percent(share)} of all that is stored`),
    element("p.dim", {}, layerTitle(model, group.hiddenBy)),
    element("p.help", {}, HELP[group.cause]));
}

// The deepest directory that holds all of some paths, or the only one of them.
function common(model, paths) {
  if (paths.length === 1) return paths[0];
  const up = (path) => {
    const chain = [];
    for (let at = model.parents[path]; ; at = model.parents[at]) {
      chain.unshift(at);
      if (!at) return chain;
    }
  };
  let shared = up(paths[0]);
  for (const path of paths) {
    const chain = up(path);
    let same = 0;
    while (same < shared.length && shared[same] === chain[same]) same += 1;
    shared = shared.slice(0, same);
  }
  return shared[shared.length - 1];
}

function causeText(model, waste) {
  if (waste.movedTo !== null) return `moved to ${pathLine(model, waste.movedTo)}`;
  const what = aspectText(model, waste.aspects);
  return what ? `${waste.cause} (${what})` : waste.cause;
}

function renderTwice({ model, actions }) {
  const panel = byId("panel-twice");
  byId("twice-count").textContent = number(model.twice.length);
  if (!model.twice.length) {
    panel.replaceChildren(element("p.nothing.good", {}, "No layer stores content that a layer below has under another path."));
    return;
  }
  panel.replaceChildren(
    element("p.dim.lead", {}, "Content that a layer stores though a layer below has it under another path. A hard link or a symbolic link would take no bytes. The efficiency does not count it."),
    table(["Twice", "Size", "Where"], model.twice, (one) => [
      bytes(one.bytes),
      bytes(one.size),
      element("ul.places", {}, ...fewPlaces(one.places).map((place) => element("li", {}, mark(model, place.layer, actions), element("button.link", { type: "button", onclick: () => actions.jump(place.layer, place.path) }, pathLine(model, place.path)))),
        one.places.length > fewPlaces(one.places).length ? element("li.dim", {}, `and ${one.places.length - fewPlaces(one.places).length} more`) : null),
    ]));
}

// The first, which could do, and some of the others from layers above it.
function fewPlaces(places) {
  return [places[0], ...places.filter((place) => place.layer > places[0].layer).slice(0, 5)];
}

function mark(model, layer, actions) {
  return element("button.mark", { type: "button", title: layerTitle(model, layer), css: { "--hue": layerHue(layer, model.layers.length) }, onclick: () => actions.jump(layer, null) }, layerMark(model, layer));
}

function table(head, items, cells) {
  const body = element("tbody");
  const more = element("button.more", { type: "button", onclick: () => add() });
  let shown = 0;
  const add = () => {
    const next = items.slice(shown, shown + FIRST);
    body.append(...next.map((item) => element("tr", {}, ...cells(item).map((cell) => element("td", {}, cell)))));
    shown += next.length;
    more.textContent = `Show more (${number(items.length - shown)} left)`;
    more.hidden = shown === items.length;
  };
  add();
  return element("div", {}, element("table.list", {}, element("thead", {}, element("tr", {}, ...head.map((title) => element("th", { scope: "col" }, title)))), body), more);
}
