// Values as people read them, and elements without markup: everything that comes of an image is put in as text.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

function bytes(count) {
  let unit = 0;
  let value = count;
  while (Math.abs(value) >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit ? `${value.toFixed(1)} ${UNITS[unit]}` : `${value} B`;
}

function number(count) {
  return count.toLocaleString("en-US");
}

function plural(count, one, many) {
  return `${number(count)} ${count === 1 ? one : many || `${one}s`}`;
}

function percent(ratio) {
  const text = `${(ratio * 100).toFixed(1)}%`;
  return text === "100.0%" && ratio < 1 ? "99.9%" : text;
}

// Control characters, those that turn the direction of text or are not to be seen, and bytes that are no UTF-8, which
// come as halves of surrogate pairs.
const ODD = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const ESCAPES = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

function visible(text) {
  return text.replace(ODD, (character) => {
    if (ESCAPES[character]) return ESCAPES[character];
    const code = character.charCodeAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

const TYPES = { file: "-", directory: "d", symlink: "l", fifo: "p", character: "c", block: "b" };

function modeText(type, mode) {
  let text = TYPES[type] || "?";
  for (const shift of [6, 3, 0]) {
    const bits = mode >> shift;
    text += (bits & 4 ? "r" : "-") + (bits & 2 ? "w" : "-") + (bits & 1 ? "x" : "-");
  }
  const put = (place, bit, on, off) => {
    if (mode & bit) text = text.slice(0, place) + (text[place] === "x" ? on : off) + text.slice(place + 1);
  };
  put(3, 0o4000, "s", "S");
  put(6, 0o2000, "s", "S");
  put(9, 0o1000, "t", "T");
  return text;
}

function dateText(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().replace("T", " ").replace(".000Z", " UTC");
}

function oneLine(text) {
  return visible(text.replace(/\s+/g, " ").trim());
}

// element("p.dim", {title: "..."}, "text", child, ...)
function element(what, properties, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "css") Object.entries(value).forEach(([name, text]) => made.style.setProperty(name, text));
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

const SIGNS = { added: "+", changed: "~", removed: "−" };
const WORDS = { content: "content", type: "type", mode: "mode", owner: "owner", mtime: "time", xattrs: "attributes", target: "target", device: "device", links: "links" };
