// All about one path: what it is now, and what each layer did to it.

function renderDetails(app) {
  const { model, state, view, actions } = app;
  const box = byId("details");
  if (state.path === null) {
    box.replaceChildren(element("p.dim", {}, "Choose a file to see what each layer did to it."),
      element("ul.keys", {},
        keyHint("↑ ↓ ← →", "move in the tree"), keyHint("Enter", "open and close"), keyHint("*", "open all below"),
        keyHint("/", "search"), keyHint("[ ]", "layer above, below"), keyHint("m", "this layer, merged tree")));
    return;
  }
  const path = state.path;
  const last = lastChange(model, path, state.layer);
  const facts = [];
  const fact = (name, value) => value !== "" && facts.push(element("dt", {}, name), element("dd", {}, value));
  if (last) {
    fact("type", last.type);
    fact("mode", `${modeText(last.type, last.mode)} ${last.mode.toString(8).padStart(4, "0")}`);
    fact("owner", `${last.uid}:${last.gid}`);
    if (last.type === "file") fact("size", `${bytes(last.size)}${last.size >= 1024 ? ` (${number(last.size)} B)` : ""}`);
    else if (last.type === "directory") fact(view.mainTitle.toLowerCase(), `${bytes(view.main[path])} in ${plural(view.files[path], "file")}`);
    if (last.target) fact("target", visible(last.target));
    if (last.link) fact("links", "one of several names");
    fact("modified", dateText(last.time));
  }
  const changes = (model.changesOf[path] || []).slice().reverse();
  const story = changes.map((change) => element(`li${change.layer === state.layer ? ".now" : ""}`, {},
    element("button.mark", { type: "button", css: { "--hue": layerHue(change.layer, model.layers.length) }, onclick: () => actions.choose(change.layer), "aria-label": `Go to layer ${layerMark(model, change.layer)}` }, layerMark(model, change.layer)),
    element("div", {},
      element(`span.what.${change.kind}`, {}, `${SIGNS[change.kind]} ${storyText(model, change)}`),
      change.stored ? element("span.dim", {}, ` ${bytes(change.stored)}`) : null,
      change.waste ? element("p.lost", {}, wasteText(model, change.waste)) : null)));
  const again = model.twice.find((one) => one.places.some((place) => place.path === path));
  box.replaceChildren(
    element("h3", {}, pathLine(model, path)),
    element("dl.facts-list", {}, ...facts),
    element("h4", {}, "What layers did"),
    element("ol.story", {}, ...story),
    again ? element("div", {}, element("h4", {}, "The same content"), element("ul.same", {}, ...again.places.slice(0, 8).map((one) => element("li", {}, element("button.link", { type: "button", onclick: () => actions.jump(one.layer, one.path) }, pathLine(model, one.path)), element("span.dim", {}, ` layer ${layerMark(model, one.layer)}`))))) : "");
}

function keyHint(keys, text) {
  return element("li", {}, element("kbd", {}, keys), ` ${text}`);
}

function storyText(model, change) {
  if (change.kind !== "changed") return change.kind;
  const what = aspectText(model, change.aspects);
  return what ? `changed: ${what}` : "stored again as it was";
}
