// The tree of files: only the rows that are to be seen are in the document.

const ROW = 28;
const BEYOND = 12;

function renderRows(app) {
  const { view, rows, state } = app;
  const tree = byId("tree");
  const box = byId("rows");
  box.style.height = `${Math.max(rows.length, 1) * ROW}px`;
  const first = Math.max(0, Math.floor(tree.scrollTop / ROW) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((tree.scrollTop + tree.clientHeight) / ROW) + BEYOND);
  const made = [];
  for (let at = first; at < last; at += 1) made.push(fileRow(app, at));
  if (!rows.length) made.push(element("p.nothing", {}, nothingText(app)));
  box.replaceChildren(...made);
  const selected = rows.findIndex((row) => row[0] === state.path);
  if (selected >= first && selected < last) tree.setAttribute("aria-activedescendant", `row-${state.path}`);
  else tree.removeAttribute("aria-activedescendant");
  const sums = [[view.mainTitle, view.main[0]], ["wasted", view.lost[0]], [view.sideTitle, view.side[0]]];
  byId("tally").textContent = [plural(view.files[0], "file"), ...sums.filter(([, sum], at) => sum || !at).map(([title, sum]) => `${title.toLowerCase()} ${bytes(sum)}`)].join(" · ");
}

function nothingText({ state, view }) {
  if (state.query || state.filters.size) return "Nothing fits the search and the filters.";
  return view.merged ? "The tree is empty here." : "This layer changes nothing.";
}

function fileRow({ model, view, rows, state, actions }, at) {
  const [path, depth, place, siblings] = rows[at];
  const change = view.change[path];
  const here = view.matched[path] ? changeAt(model, path, state.layer) : null;
  const last = change || lastChange(model, path, state.layer);
  const directory = last ? last.type === "directory" : hasChildren(view, path);
  const kind = here ? here.kind : "same";
  const open = directory && isOpen(view, state, path);
  const inner = directory && hasChildren(view, path);
  const waste = here ? here.waste : view.merged && last ? last.waste : null;
  const name = visible(model.names[path]);
  const words = [kind === "same" ? "" : kind, waste ? "wasted" : "", last && last.type !== "file" ? last.type : ""].filter(Boolean).join(", ");
  const row = element(`div.row.${kind}${state.path === path ? ".selected" : ""}`, {
    role: "treeitem", id: `row-${path}`, "data-path": path,
    "aria-level": depth, "aria-posinset": place, "aria-setsize": siblings, "aria-selected": String(state.path === path),
    "aria-expanded": inner ? String(open) : null,
    "aria-label": `${name}${words ? `, ${words}` : ""}, ${bytes(view.main[path])}`,
    css: { top: `${at * ROW}px` },
    onclick: () => actions.select(path, inner && state.path === path ? "toggle" : ""),
    ondblclick: () => inner && actions.focusMap(path),
  });
  const twist = element(`span.twist${inner ? (open ? ".open" : "") : ".leaf"}`, { "aria-hidden": "true", onclick: (event) => { event.stopPropagation(); actions.select(path, inner ? "toggle" : ""); } });
  const label = element("span.c-name", {},
    element("span.sign", { title: kind === "same" ? "not changed by this layer" : kind }, SIGNS[kind] || ""),
    element("span.indent", { css: { width: `${(Math.min(depth, 24) - 1) * 15}px` } }),
    twist,
    element(`span.icon.${iconOf(last, directory)}`, { "aria-hidden": "true" }),
    element("span.text", { title: name }, name, directory ? "/" : ""),
    last && last.type === "symlink" ? element("span.target", {}, ` → ${visible(last.target || "")}`) : null,
    waste ? element("span.tag.wasted", { title: wasteText(model, waste) }, "wasted") : null,
    here && here.kind === "changed" && here.aspects && !directory ? element("span.tag", {}, aspectText(model, here.aspects)) : null);
  row.append(label,
    measure("c-main", view.main[path], view.main[path] / view.largest),
    measure("c-lost", view.lost[path]),
    measure("c-side", view.side[path]),
    element("span.c-mode", {}, last ? modeText(last.type, last.mode) : ""),
    element("span.c-owner", {}, last ? `${last.uid}:${last.gid}` : ""));
  return row;
}

function measure(where, amount, part) {
  const meter = part === undefined ? null : element("span.meter", { "aria-hidden": "true" }, element("span", { css: { width: `${part * 100}%` } }));
  return element(`span.${where}${amount ? "" : ".zero"}`, {}, meter, element("span.amount", {}, amount ? bytes(amount) : "–"));
}

function iconOf(change, directory) {
  if (directory) return "folder";
  if (!change || change.type === "file") return change && change.mode & 0o111 ? "program" : "file";
  return change.type === "symlink" ? "link" : "special";
}

function wasteText(model, waste) {
  const by = `layer ${layerMark(model, waste.hiddenBy)}`;
  if (waste.cause === "moved") return `${bytes(waste.bytes)} wasted: ${by} moved it to ${visible(pathText(model, waste.movedTo))}`;
  const what = aspectText(model, waste.aspects);
  if (waste.cause === "rewritten") return `${bytes(waste.bytes)} wasted: ${by} stored the same content again${what ? ` with another ${what}` : ""}`;
  return `${bytes(waste.bytes)} wasted: ${waste.cause} by ${by}`;
}

function treeKeys(app, event) {
  const { rows, state, view, actions, model } = app;
  const at = rows.findIndex((row) => row[0] === state.path);
  const path = at < 0 ? null : rows[at][0];
  const page = Math.max(1, Math.floor(byId("tree").clientHeight / ROW) - 1);
  const go = (to) => rows.length && actions.select(rows[Math.max(0, Math.min(rows.length - 1, to))][0], "");
  const inner = path !== null && hasChildren(view, path);
  switch (event.key) {
    case "ArrowDown": go(at + 1); break;
    case "ArrowUp": go(at < 0 ? 0 : at - 1); break;
    case "PageDown": go(at + page); break;
    case "PageUp": go(at - page); break;
    case "Home": go(0); break;
    case "End": go(rows.length - 1); break;
    case "ArrowRight":
      if (inner && !isOpen(view, state, path)) actions.select(path, "open");
      else if (inner) go(at + 1);
      break;
    case "ArrowLeft":
      if (inner && isOpen(view, state, path)) actions.select(path, "close");
      else if (path !== null && model.parents[path]) actions.select(model.parents[path], "");
      break;
    case "Enter":
    case " ": if (path !== null) actions.select(path, inner ? "toggle" : ""); break;
    case "*": if (path !== null) actions.openAll(path); break;
    default: return;
  }
  event.preventDefault();
}

function showRow(app, path) {
  const at = app.rows.findIndex((row) => row[0] === path);
  if (at < 0) return;
  const tree = byId("tree");
  if (at * ROW < tree.scrollTop) tree.scrollTop = at * ROW;
  else if ((at + 1) * ROW > tree.scrollTop + tree.clientHeight) tree.scrollTop = (at + 1) * ROW - tree.clientHeight;
}
