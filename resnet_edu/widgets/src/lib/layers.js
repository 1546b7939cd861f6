// The tracer's table of a net: a row for every operation, in groups that the browser draws only when they are in view.
//
// layerTable({ onhover, onselect }) -> { node, set(view), light(part, row) }. It is a real table, so that it can be
// copied into a spreadsheet and searched; rows that stay are patched, and nothing is drawn that did not change.

import { h, patch, say, thousands } from "./ui.js";
import { short } from "./formula.js";
import { written } from "./engine.js";
import style from "./layers.css";

const several = (shapes) =>
  shapes.length > 1 && shapes.every((s) => written(s) === written(shapes[0]))
    ? `${shapes.length} of ${written(shapes[0])}` : shapes.map(written).join(", ");
const source = (name) => (typeof name === "number" ? `#${name}` : name);

const COLUMNS = [
  ["#", 1, (r) => String(r.index)],
  ["layer", 0, (r) => r.path],
  ["output", 0, (r) => several(r.outputs)], // what most look for comes first: a page is narrower than the table
  ["parameters", 1, (r) => thousands(r.params)],
  ["MACs", 1, (r) => thousands(r.macs)],
  ["kind", 0, (r) => r.kind],
  ["input", 0, (r) => several(r.inputs)],
  ["bytes", 1, (r) => thousands(r.activation_bytes)],
  ["field", 1, (r) => (r.receptive_field === null ? "" : short([r.receptive_field].flat()))],
  ["kernel", 1, (r) => (r.kernel ? written(r.kernel) : "")],
  ["stride", 1, (r) => short(r.stride)],
  ["pad", 1, (r) => short(r.padding)],
];

function remark(row) {
  if (row.kind === "add" && row.shortcut !== null) {
    return `main ${source(row.main)} + shortcut ${source(row.shortcut)} (${row.shortcut_kind.replace("_", " ")})`;
  }
  return [row.on_shortcut && "shortcut", row.reused && "reused: parameters counted above", row.note]
    .filter(Boolean).join("; ");
}

const cell = (i, ...children) => h(i === 1 ? "th" : "td", {
  role: i === 1 ? "rowheader" : "gridcell", scope: i === 1 && "row", class: COLUMNS[i][1] > 0 && "rx-num",
}, children);
const line = (cells, more) => h("tr", { role: "row", ...more }, cells);

export function layerTable({ onhover, onselect }) {
  const model = line(COLUMNS.map((_, i) => cell(i, document.createTextNode(""), i === 1 && h("small"))), { tabindex: "-1" });
  const pool = []; // [{ tr, texts, small, row }], one for each row that was ever shown
  const bodies = [];
  const foot = line(COLUMNS.map((_, i) => cell(i)));
  const failed = h("tbody", { role: "rowgroup", class: "rx-fail" });
  let parts = [];
  let count = 0;
  let stop = 0;
  let cut = "";

  function get(i) {
    if (!pool[i]) {
      const tr = model.cloneNode(true);
      tr.rxIndex = i;
      pool[i] = { tr, texts: [...tr.children].map((cell) => cell.firstChild), small: tr.querySelector("small"), css: "" };
    }
    return pool[i];
  }
  const partOf = (i) => parts.find((part) => part.first <= i && i <= part.last);
  const at = (event) => event.target.closest("tr")?.rxIndex;
  const onpointerover = (event) => {
    const i = at(event);
    if (i !== undefined && i < count) onhover(i, partOf(i));
  };
  const table = h("table", {
    class: "rx-table rx-layers", role: "grid", onpointerover,
    onfocusin(event) {
      const i = at(event);
      if (i === undefined) return;
      get(stop).tr.tabIndex = -1;
      stop = i;
      get(stop).tr.tabIndex = 0;
      onpointerover(event);
    },
    onclick: (event) => at(event) !== undefined && onselect(partOf(at(event))),
    onkeydown(event) {
      const i = at(event);
      if (i === undefined) return;
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -count, End: count }[event.key];
      if (by) get(Math.min(count - 1, Math.max(0, i + by))).tr.focus();
      else if (event.key === "Enter" || event.key === " ") onselect(partOf(i));
      else return;
      event.preventDefault();
    },
  },
    h("thead", { role: "rowgroup" }, line(COLUMNS.map(([title, number]) =>
      h("th", { role: "columnheader", scope: "col", class: number > 0 && "rx-num" }, title)))),
    failed, h("tfoot", { role: "rowgroup" }, foot));
  const node = h("div", { class: "rx-scroll rx-long", tabindex: "0", role: "region" }, table);

  function regroup() {
    const next = parts.map((part) => `${part.first}-${part.last}`).join();
    if (next === cut) return;
    cut = next;
    parts.forEach((part, i) => {
      bodies[i] ??= h("tbody", { role: "rowgroup" });
      const rows = [];
      for (let k = part.first; k <= part.last; k++) rows.push(get(k).tr);
      const now = bodies[i].children;
      if (now.length !== rows.length || rows.some((tr, k) => now[k] !== tr)) bodies[i].replaceChildren(...rows);
      const tall = rows.length * 1.55 + rows.length * 0.2;
      bodies[i].style.containIntrinsicHeight = `auto ${tall.toFixed(1)}rem`;
      if (bodies[i].nextSibling === null) failed.before(bodies[i]);
    });
    for (const body of bodies.splice(parts.length)) body.remove();
  }

  /** view: { rows, parts, params, macs, bytes, error } as engine.js returns it. */
  function set(view, caption) {
    parts = view.parts;
    count = view.rows.length;
    patch(node, { "aria-label": caption });
    patch(table, { "aria-label": caption });
    const totals = { 1: "total", 3: thousands(view.params), 4: thousands(view.macs), 7: thousands(view.bytes) };
    const longest = COLUMNS.map(([title], c) => Math.max(title.length, totals[c]?.length ?? 0)); // text of each column
    view.rows.forEach((row, i) => {
      const shown = get(i);
      COLUMNS.forEach(([, , text], c) => {
        const value = text(row);
        longest[c] = Math.max(longest[c], value.length);
        if (shown.texts[c].data !== value) shown.texts[c].data = value;
      });
      say(shown.small, remark(row));
      const css = row.kind === "add" ? "rx-add" : row.on_shortcut ? "rx-side" : "";
      if (shown.css !== css) shown.tr.className = shown.css = css;
    });
    const columns = longest.map((n, c) => (c === 1 ? "min(12.2em,32cqw)" : `calc(${n * (COLUMNS[c][1] ? 1.1 : 1)}ch + .9rem)`));
    table.style.setProperty("--rx-columns", columns.join(" "));
    regroup();
    if (stop >= count) stop = 0;
    get(stop).tr.tabIndex = 0;
    const { error } = view;
    failed.replaceChildren(...(error ? [line([
      ...["✕", error.path].map((text, i) => cell(i, text)),
      h("td", { role: "gridcell", class: "rx-why" }, `${error.kind} ${several(error.shapes)}: ${error.text}`)])] : []));
    [...foot.children].forEach((cell, i) => say(cell, totals[i] ?? ""));
  }

  return {
    node,
    set,
    /** Mark a part and one of its rows (either may be null), and bring it into view if `scroll`. */
    light(part, row, scroll) {
      bodies.forEach((body, i) => body.classList.toggle("rx-lit", parts[i] === part));
      pool.forEach(({ tr }, i) => tr.classList.toggle("rx-hot", i === row));
      if (!scroll || !part) return;
      const { tr } = get(row ?? part.first);
      const [box, line] = [node.getBoundingClientRect(), tr.getBoundingClientRect()];
      if (line.top < box.top + 40 || line.bottom > box.bottom - 10) node.scrollTop += line.top - box.top - 60;
    },
  };
}

export { style };
