// One tree to show: that of a layer alone, or the merged one at a layer, with sums of each directory.

const FILTERS = [
  ["added", "Added", "paths that this layer adds"],
  ["changed", "Changed", "paths that this layer changes"],
  ["removed", "Removed", "paths that this layer removes"],
  ["hidden", "Hidden", "bytes of files that this layer hides for good"],
  ["wasted", "Wasted", "bytes of files that do not show in the end"],
];

function buildView(model, state) {
  const { layer, merged } = state;
  const { count, parents } = model;
  const view = {
    model, layer, merged,
    main: new Float64Array(count),
    side: new Float64Array(count),
    lost: new Float64Array(count),
    files: new Int32Array(count),
    shown: new Uint8Array(count),
    matched: new Uint8Array(count),
    change: new Array(count),
    mainTitle: merged ? "Size" : "Stored",
    sideTitle: merged ? "Wasted later" : "Hides",
  };
  const hidden = model.hiddenBy[layer];
  const query = state.query.toLowerCase();
  const filters = state.filters;
  const counted = new Set();

  const wanted = (path, here, shown) => {
    if (!filters.size) return true;
    return (here && filters.has(here.kind))
      || (filters.has("hidden") && hidden.has(path))
      || (filters.has("wasted") && shown && shown.kind !== "removed" && shown.waste !== null);
  };

  const matches = query ? matcher(model, query) : null;
  for (let path = 0; path < count; path += 1) {
    const last = lastChange(model, path, layer);
    if (!last && !hidden.has(path)) continue;
    const here = last && last.layer === layer ? last : null;
    const gone = !last || last.kind === "removed";
    view.change[path] = merged ? last : here;
    let show = merged ? !gone : here !== null || hidden.has(path);
    if (merged && gone && filters.size) show = (here !== null && filters.has("removed")) || (filters.has("hidden") && hidden.has(path));
    if (!show || !wanted(path, here, merged ? last : here) || (matches && !matches[path])) continue;
    if (path === 0 && (filters.size || matches)) continue;
    view.shown[path] = view.matched[path] = 1;
    if (merged) {
      if (!gone) view.main[path] = shownBytes(last, counted);
      view.side[path] = gone ? 0 : (last.waste ? last.waste.bytes : 0);
    } else {
      view.main[path] = here ? here.stored : 0;
      view.side[path] = hidden.get(path) || 0;
      view.lost[path] = here && here.waste ? here.waste.bytes : 0;
    }
    if (last && last.type !== "directory") view.files[path] = 1;
  }
  // A directory stands before what is in it.
  for (let path = count - 1; path > 0; path -= 1) {
    if (!view.shown[path]) continue;
    const above = parents[path];
    view.shown[above] = 1;
    view.main[above] += view.main[path];
    view.side[above] += view.side[path];
    view.lost[above] += view.lost[path];
    view.files[above] += view.files[path];
  }
  view.largest = Math.max(1, view.main[0]);
  return view;
}

// A file with several names counts at the first.
function shownBytes(change, counted) {
  if (!change.link) return change.stored;
  const [inode, size] = change.link;
  if (counted.has(inode)) return 0;
  counted.add(inode);
  return size;
}

function matcher(model, query) {
  const found = new Uint8Array(model.count);
  if (query.includes("/")) {
    const wanted = query.replace(/^\//, "");
    for (let path = 1; path < model.count; path += 1) {
      if (visible(pathText(model, path)).toLowerCase().includes(wanted)) found[path] = 1;
    }
    return found;
  }
  for (let path = 1; path < model.count; path += 1) {
    if (found[model.parents[path]] || visible(model.names[path]).toLowerCase().includes(query)) found[path] = 1;
  }
  return found;
}

function sortedChildren(view, path, sort) {
  const list = (view.model.children[path] || []).filter((child) => view.shown[child]);
  if (sort.by === "name") return sort.down ? list.reverse() : list;
  const values = view[sort.by];
  list.sort((a, b) => values[b] - values[a] || view.main[b] - view.main[a] || view.side[b] - view.side[a]);
  return sort.down ? list : list.reverse();
}

// The rows of the tree, as far as it is open: [path, depth, place, of how many].
function flatten(view, state) {
  const rows = [];
  const pending = [];
  const push = (path, depth) => {
    const children = sortedChildren(view, path, state.sort);
    for (let at = children.length - 1; at >= 0; at -= 1) pending.push([children[at], depth, at + 1, children.length]);
  };
  push(0, 1);
  while (pending.length) {
    const row = pending.pop();
    rows.push(row);
    if (isOpen(view, state, row[0])) push(row[0], row[1] + 1);
  }
  return rows;
}

function hasChildren(view, path) {
  return (view.model.children[path] || []).some((child) => view.shown[child]);
}

function isOpen(view, state, path) {
  if (state.closed.has(path)) return false;
  return state.open.has(path) || (state.query !== "" && hasChildren(view, path));
}
