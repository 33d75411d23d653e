// The stack of layers at the side, and what the page says of the chosen one.

function layerHue(layer, count) {
  // Neighbours differ, and no two of a dozen are alike.
  return count > 12 ? (layer * 137.5 + 255) % 360 : (255 + (layer * 360) / Math.max(5, count)) % 360;
}

function renderStack(model, state, choose) {
  const stack = byId("stack");
  const largest = Math.max(1, ...model.layers.map((layer) => layer.stored));
  const items = model.raw.steps.map((step) => (step.layer === null ? emptyStep(step) : layerItem(model, step.layer, largest, choose)));
  if (model.raw.container) items.push(layerItem(model, model.layers.length - 1, largest, choose));
  stack.replaceChildren(...items.reverse());
}

function emptyStep(step) {
  return element("div.step", { role: "presentation", title: oneLine(step.text) }, oneLine(step.text) || "(nothing)");
}

function layerItem(model, layer, largest, choose) {
  const one = model.layers[layer];
  const title = layerTitle(model, layer);
  const kept = (one.stored - one.wasted) / largest;
  const lost = one.wasted / largest;
  const bar = element("span.bar", { "aria-hidden": "true" },
    kept > 0 ? element("span.kept", { css: { width: `${kept * 100}%` } }) : null,
    lost > 0 ? element("span.lost", { css: { width: `${lost * 100}%` } }) : null);
  const counts = element("span.counts", {},
    count("added", one.added), count("changed", one.changed), count("removed", one.removed),
    element("span.lostnote", {}, one.wasted ? `${bytes(one.wasted)} wasted` : ""));
  return element("div.layer", {
    role: "option", id: `layer-${layer}`, "data-layer": layer, title,
    css: { "--hue": layerHue(layer, model.layers.length) },
    onclick: () => choose(layer),
  },
  element("span.mark", {}, layerMark(model, layer)),
  element("span.title", {}, title),
  element("span.size", {}, bytes(one.stored)),
  bar,
  counts);

  function count(kind, amount) {
    return element(`span.n.${kind}${amount ? "" : ".none"}`, { "aria-label": `${amount} ${kind}` }, `${SIGNS[kind]}${number(amount)}`);
  }
}

function markLayer(model, state) {
  for (const item of byId("stack").querySelectorAll(".layer")) {
    const chosen = Number(item.dataset.layer) === state.layer;
    item.setAttribute("aria-selected", String(chosen));
    item.classList.toggle("above", Number(item.dataset.layer) > state.layer);
    if (chosen) {
      byId("stack").setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
  }
}

function renderAbout(model, state) {
  const one = model.layers[state.layer];
  const facts = [];
  const fact = (name, value, title) => facts.push(element("div", { title }, element("dt", {}, name), element("dd", {}, value)));
  fact("stored", bytes(one.stored), "bytes of file content in this layer");
  if (!one.container) fact("compressed", bytes(one.size), "bytes of its blob");
  if (one.hidden) fact("hides", bytes(one.hidden), "bytes of content that this layer hides for good");
  if (one.wasted) fact("wasted", bytes(one.wasted), "bytes of its own content that do not show in the end");
  fact("added", number(one.added));
  fact("changed", number(one.changed));
  fact("removed", number(one.removed));
  const shared = one.shared.length
    ? element("p.shared", {}, `shared with ${one.shared.slice(0, 4).map(visible).join(", ")}${one.shared.length > 4 ? ` and ${one.shared.length - 4} more` : ""}`)
    : null;
  const text = one.container ? "What the container changed: a commit would make a layer of it." : visible(one.text.trim()).replace(/\\n/g, "\n") || "The history says nothing about this layer.";
  byId("about").replaceChildren(
    element("div.about-head", {},
      element("span.mark", { css: { "--hue": layerHue(state.layer, model.layers.length) } }, layerMark(model, state.layer)),
      element("h2", {}, one.container ? layerTitle(model, state.layer) : `Layer ${state.layer}`),
      one.digest ? element("code.digest", { title: `blob ${one.digest}\ndiff id ${one.diffId}` }, one.digest.slice(0, 19)) : null,
      one.created ? element("span.digest", {}, one.created.replace("T", " ").replace(/(\.\d+)?Z$/, "")) : null,
      shared),
    element("pre.instruction", { tabindex: "0", "aria-label": "The instruction" }, text),
    element("dl.facts-row", {}, ...facts));
}

function renderHeader(model) {
  const raw = model.raw;
  byId("name").textContent = visible(raw.container ? `${raw.container} · ${raw.name}` : raw.name);
  const names = raw.references.length > 1 ? ` · ${plural(raw.references.length, "name")}` : "";
  byId("facts").textContent = `${visible(raw.platform)} · ${plural(model.layers.length, "layer")} · ${raw.digest.slice(0, 19)}${names}`;
  byId("facts").title = `${raw.digest}\n${raw.references.map(visible).join("\n")}`;
  const grade = raw.efficiency >= 0.9 ? "good" : raw.efficiency >= 0.7 ? "fair" : "poor";
  const figure = (name, value, note, kind) => element(`div.figure${kind ? `.${kind}` : ""}`, {}, element("dt", {}, name), element("dd", {}, value), element("dd.note", {}, note));
  byId("figures").replaceChildren(
    element(`div.figure.ring.${grade}`, {}, ring(raw.efficiency), element("div", {}, element("dt", {}, "efficiency"), element("dd", { id: "efficiency" }, percent(raw.efficiency)), element("dd.note", {}, { good: "good", fair: "could be better", poor: "poor" }[grade]))),
    figure("stored", bytes(raw.stored), "in all layers"),
    figure("wasted", bytes(raw.wasted), plural(model.waste.length, "file"), raw.wasted ? "bad" : ""),
    figure("twice", bytes(raw.duplicated), plural(model.twice.length, "content")));
}

function ring(ratio) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const circle = (kind, part) => {
    const made = document.createElementNS(svg.namespaceURI, "circle");
    for (const [key, value] of Object.entries({ class: kind, cx: 22, cy: 22, r: 18, pathLength: 100, "stroke-dasharray": `${part * 100} 100` })) made.setAttribute(key, value);
    return made;
  };
  for (const [key, value] of Object.entries({ viewBox: "0 0 44 44", width: 46, height: 46, "aria-hidden": "true" })) svg.setAttribute(key, value);
  svg.append(circle("track", 1), circle("arc", ratio));
  return svg;
}
