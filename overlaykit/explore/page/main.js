// The state of the page, and everything that changes it.

const TABS = ["files", "waste", "twice"];

async function start() {
  const model = buildModel(await unpack(byId("data").textContent.trim()));
  const state = {
    layer: model.layers.length - 1, merged: false, tab: "files", query: "", filters: new Set(),
    sort: { by: "main", down: true }, open: new Set(), closed: new Set(), path: null, focus: 0,
  };
  const app = { model, state, view: null, rows: [], actions: null };
  app.actions = actionsOf(app);
  if (!model.layers.length) {
    renderHeader(model);
    byId("main").replaceChildren(element("p.nothing", {}, "The image has no layers."));
    document.documentElement.dataset.ready = "true";
    return;
  }
  renderHeader(model);
  renderStack(model, state, app.actions.choose);
  renderWaste(app);
  renderTwice(app);
  byId("filters").replaceChildren(...FILTERS.map(([name, title, note]) => element(`button.filter.${name}`, { type: "button", id: `filter-${name}`, "aria-pressed": "false", title: note, onclick: () => app.actions.filter(name) }, SIGNS[name] ? `${SIGNS[name]} ` : "", title)));
  listen(app);
  readHash(app);
  document.documentElement.dataset.ready = "true";
}

function actionsOf(app) {
  const { model, state } = app;
  const actions = {
    // -- what is shown
    update({ keep = false } = {}) {
      app.view = buildView(model, state);
      if (!state.query && !keep) openSome(app);
      actions.rows();
      markLayer(model, state);
      renderAbout(model, state);
      showState(app);
      renderMap(app);
      if (!keep) writeHash(app);
    },
    rows() {
      app.rows = flatten(app.view, state);
      renderRows(app);
      renderDetails(app);
    },
    choose(layer) {
      state.layer = layer;
      byId("tree").scrollTop = 0;
      actions.update();
    },
    jump(layer, path) {
      Object.assign(state, { layer, tab: "files", query: "", focus: 0, merged: false });
      state.filters.clear();
      byId("search").value = "";
      actions.update();
      if (path !== null) actions.reveal(path);
    },
    filter(name) {
      if (!state.filters.delete(name)) state.filters.add(name);
      byId("tree").scrollTop = 0;
      actions.update();
    },
    search(text) {
      state.query = text.trim();
      state.closed.clear();
      byId("tree").scrollTop = 0;
      actions.update();
    },
    sort(by) {
      state.sort = { by, down: state.sort.by === by ? !state.sort.down : by !== "name" };
      actions.rows();
      showState(app);
    },
    merge(merged) {
      state.merged = merged;
      if (merged && state.sort.by === "lost") state.sort = { by: "side", down: true };
      actions.update();
    },
    show(tab) {
      state.tab = tab;
      showState(app);
      if (tab === "files") actions.update();
      writeHash(app);
    },
    // -- one path
    select(path, how) {
      state.path = path;
      const open = isOpen(app.view, state, path);
      if (how === "open" || (how === "toggle" && !open)) {
        state.open.add(path);
        state.closed.delete(path);
      } else if (how === "close" || how === "toggle") {
        state.open.delete(path);
        state.closed.add(path);
      }
      if (how) app.rows = flatten(app.view, state);
      showRow(app, path);
      renderRows(app);
      renderDetails(app);
      writeHash(app);
    },
    reveal(path) {
      for (let at = model.parents[path]; at; at = model.parents[at]) {
        state.open.add(at);
        state.closed.delete(at);
      }
      app.rows = flatten(app.view, state);
      actions.select(path, "");
    },
    openAll(path) {
      let room = 20000;
      const pending = [path];
      while (pending.length && room > 0) {
        const at = pending.pop();
        if (!hasChildren(app.view, at)) continue;
        state.open.add(at);
        state.closed.delete(at);
        room -= 1;
        pending.push(...(model.children[at] || []).filter((child) => app.view.shown[child]));
      }
      actions.rows();
    },
    focusMap(path) {
      state.focus = path;
      renderMap(app);
      if (path) {
        actions.reveal(path);
        actions.select(path, "open");
      }
    },
  };
  return actions;
}

// At first: the way down to where there is a choice, so that no layer begins with one closed directory.
function openSome({ view, state }) {
  let path = 0;
  for (let depth = 0; depth < 6; depth += 1) {
    const children = (view.model.children[path] || []).filter((child) => view.shown[child]);
    if (children.length !== 1 || !hasChildren(view, children[0])) break;
    [path] = children;
    if (!state.closed.has(path)) state.open.add(path);
  }
}

function showState({ view, state }) {
  for (const tab of TABS) {
    const chosen = tab === state.tab;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
    byId(`panel-${tab}`).hidden = !chosen;
  }
  for (const [id, chosen] of [["view-layer", !state.merged], ["view-merged", state.merged]]) {
    byId(id).setAttribute("aria-checked", String(chosen));
    byId(id).tabIndex = chosen ? 0 : -1;
  }
  for (const [name] of FILTERS) byId(`filter-${name}`).setAttribute("aria-pressed", String(state.filters.has(name)));
  byId("files").classList.toggle("merged", state.merged);
  const titles = { name: "Name", main: view.mainTitle, lost: "Wasted", side: view.sideTitle };
  for (const [by, title] of Object.entries(titles)) {
    const chosen = state.sort.by === by;
    const arrow = chosen ? (state.sort.down === (by !== "name") ? " ↓" : " ↑") : "";
    byId(`sort-${by}`).textContent = title + arrow;
    byId(`sort-${by}`).setAttribute("aria-pressed", String(chosen));
  }
}

// -- the address: #layer=2&view=merged&path=usr/lib -----------------------------------------------------------------------

function writeHash({ model, state }) {
  const parts = [`layer=${state.layer}`];
  if (state.merged) parts.push("view=merged");
  if (state.tab !== "files") parts.push(`tab=${state.tab}`);
  if (state.filters.size) parts.push(`show=${[...state.filters].join("+")}`);
  if (state.query) parts.push(`find=${encodeURIComponent(visible(state.query))}`);
  if (state.path) parts.push(`path=${encodeURIComponent(visible(pathText(model, state.path))).replace(/%2F/g, "/")}`);
  const hash = `#${parts.join("&")}`;
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

function readHash(app) {
  const { model, state, actions } = app;
  const told = new Map(location.hash.slice(1).split("&").map((part) => part.split("=")).filter((part) => part.length === 2));
  const text = (name) => {
    try {
      return decodeURIComponent(told.get(name) || "");
    } catch {
      return "";
    }
  };
  const layer = Number(told.get("layer"));
  if (told.has("layer") && Number.isInteger(layer) && model.layers[layer]) state.layer = layer;
  state.merged = told.get("view") === "merged";
  state.tab = TABS.includes(told.get("tab")) ? told.get("tab") : "files";
  state.filters.clear();
  for (const name of (told.get("show") || "").split("+")) if (FILTERS.some(([one]) => one === name)) state.filters.add(name);
  state.query = text("find");
  byId("search").value = state.query;
  const path = told.has("path") ? findPath(model, text("path")) : null;
  state.path = null;
  showStateFirst(state);
  actions.update();
  if (path !== null) actions.reveal(path);
}

function showStateFirst(state) {
  for (const tab of TABS) byId(`panel-${tab}`).hidden = tab !== state.tab;
}

// -- keys, the mouse, the window ------------------------------------------------------------------------------------------

function listen(app) {
  const { model, state, actions } = app;
  let waiting = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => actions.search(event.target.value), 120);
  });
  byId("tree").addEventListener("scroll", () => renderRows(app), { passive: true });
  byId("tree").addEventListener("keydown", (event) => treeKeys(app, event));
  for (const by of ["name", "main", "lost", "side"]) byId(`sort-${by}`).addEventListener("click", () => actions.sort(by));
  byId("view-layer").addEventListener("click", () => actions.merge(false));
  byId("view-merged").addEventListener("click", () => actions.merge(true));
  for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => actions.show(tab));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = TABS[(TABS.indexOf(state.tab) + step + TABS.length) % TABS.length];
    actions.show(next);
    byId(`tab-${next}`).focus();
  });
  document.querySelector(".switch").addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow")) return;
    actions.merge(!state.merged);
    byId(state.merged ? "view-merged" : "view-layer").focus();
    event.preventDefault();
  });
  const step = (by) => actions.choose(Math.max(0, Math.min(model.layers.length - 1, state.layer + by)));
  byId("stack").addEventListener("keydown", (event) => {
    const by = { ArrowUp: 1, ArrowDown: -1, Home: model.layers.length, End: -model.layers.length }[event.key];
    if (by === undefined) return;
    step(by);
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement) {
      if (event.key === "Escape") {
        event.target.value = "";
        actions.search("");
        byId("tree").focus();
      }
      return;
    }
    if (event.key === "/") {
      actions.show("files");
      byId("search").focus();
    } else if (event.key === "[") step(1);
    else if (event.key === "]") step(-1);
    else if (event.key === "m") actions.merge(!state.merged);
    else return;
    event.preventDefault();
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  window.addEventListener("hashchange", () => readHash(app));
  let drawing = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(() => {
      renderMap(app);
      renderRows(app);
    });
  });
  listenToTips();
}

function listenToTips() {
  const tip = byId("tip");
  byId("map").addEventListener("pointermove", (event) => {
    const tile = event.target.closest(".tile");
    tip.hidden = !tile;
    if (!tile) return;
    tip.textContent = tile.dataset.note;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${top}px`;
  });
  byId("map").addEventListener("pointerleave", () => { tip.hidden = true; });
}

start().catch((error) => {
  document.documentElement.dataset.ready = "failed";
  byId("main").replaceChildren(element("p.failed", {}, `The page could not be drawn: ${error.message}`));
  throw error;
});
