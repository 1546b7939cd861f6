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

// What most look for comes first: a page is narrower than the table. The first four are whole on a phone, too.
const COLUMNS = [
  ["layer", 0, (r) => r.path],
  ["output", 0, (r) => several(r.outputs)],
  ["param\u00adeters", 1, (r) => r.params],
  ["MACs", 1, (r) => r.macs],
  ["kind", 0, (r) => r.kind],
  ["#", 1, (r) => r.index],
  ["input", 0, (r) => several(r.inputs)],
  ["bytes", 1, (r) => r.activation_bytes],
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

const NARROW = 480; // px of the table's box: below, large numbers are short, and a touch of the row gives the exact ones
/** Makes numbers short, with three digits: "4.09B", or, with "long", "4.09 billion". */
export const rounded = (compactDisplay) =>
  new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3, compactDisplay }).format;
const brief = rounded("short");

const cell = (i, ...children) => h(i ? "td" : "th", {
  role: i ? "gridcell" : "rowheader", scope: !i && "row", class: COLUMNS[i][1] > 0 && "rx-num",
}, children);
const line = (cells, more) => h("tr", { role: "row", ...more }, cells);

export function layerTable({ onhover, onselect }) {
  const model = line(COLUMNS.map((_, i) => cell(i, document.createTextNode(""), !i && h("small"))), { tabindex: "-1" });
  const pool = []; // [{ tr, texts, small, row }], one for each row that was ever shown
  const bodies = [];
  const foot = line(COLUMNS.map((_, i) => cell(i)));
  const failed = h("tbody", { role: "rowgroup", class: "rx-fail" });
  let parts = [];
  let count = 0;
  let stop = 0;
  let cut = "";
  let narrow = false;
  let last = [];

  /** What a cell says, and in full. */
  function told(value, c) {
    if (typeof value !== "number") return [value, ""];
    const full = thousands(value);
    return narrow && value > 9999 && c < 4 ? [brief(value), full] : [full, ""];
  }
  function get(i) {
    if (!pool[i]) {
      const tr = model.cloneNode(true);
      tr.rxIndex = i;
      pool[i] = { tr, texts: [...tr.children].map((cell) => cell.firstChild), small: tr.querySelector("small"), css: "", full: Array(12).fill("") };
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
  new ResizeObserver(([{ contentRect }]) => {
    if (narrow === (narrow = contentRect.width < NARROW)) return;
    set(...last);
  }).observe(node);

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
    last = [view, caption];
    parts = view.parts;
    count = view.rows.length;
    patch(node, { "aria-label": caption });
    patch(table, { "aria-label": caption });
    const totals = ["total", "", view.params, view.macs, "", "", "", view.bytes].map(told);
    const longest = COLUMNS.map(([title], c) => Math.max(...title.split("\u00ad").map((s) => s.length + 1), totals[c]?.[0].length ?? 0));
    view.rows.forEach((row, i) => {
      const shown = get(i);
      COLUMNS.forEach(([, , text], c) => {
        const [value, full] = told(text(row), c);
        longest[c] = Math.max(longest[c], value.length);
        const data = narrow && c < 2 ? value.replace(/[.x]/g, "$&\u200b") : value; // may break there
        if (shown.texts[c].data !== data) shown.texts[c].data = data;
        if (full !== shown.full[c]) shown.texts[c].parentNode.title = shown.full[c] = full;
      });
      say(shown.small, remark(row));
      const css = row.kind === "add" ? "rx-add" : row.on_shortcut ? "rx-side" : "";
      if (shown.css !== css) shown.tr.className = shown.css = css;
    });
    if (narrow) longest[1] = Math.min(longest[1], 14);
    const columns = longest.map((n, c) => `calc(${COLUMNS[c][1] ? 1.1 * n + 0.5 : n}ch + 2*var(--rx-side) + .1rem)`);
    columns[0] = `clamp(5em,100cqw - 1rem - ${columns.slice(1, 4).join(" - ")},13.5em)`; // a bit of the fifth is seen
    table.style = `--rx-columns:${columns.join(" ")};--rx-side:${narrow ? 0.2 : 0.4}rem`;
    regroup();
    if (stop >= count) stop = 0;
    get(stop).tr.tabIndex = 0;
    const { error } = view;
    failed.replaceChildren(...(error ? [line([
      cell(0, "✕ ", error.path),
      h("td", { role: "gridcell", class: "rx-why" }, `${error.kind} ${several(error.shapes)}: ${error.text}`)])] : []));
    [...foot.children].forEach((cell, i) => patch(say(cell, totals[i]?.[0] ?? ""), { title: totals[i]?.[1] || null }));
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
