// A block, opened: its layers from top to bottom, the shape on every arrow, and the shortcut down to the addition.
//
// blockView(rows, { title, error, onhover }) -> an SVG. rows are the tracer's, of one block (or of any chain of layers);
// error is the one that ends them, as engine.js describes it, and is drawn in red where it happens.

import { h, svg } from "./ui.js";
import { short, size } from "./formula.js";
import style from "./blockview.css";

const [MAIN, LANE, BOX, TALL, GAP] = [104, 300, 176, 27, 30];
const NAMES = { BatchNorm2d: "batch norm", zero_pad: "zero padding", AdaptiveAvgPool2d: "mean of each channel" };

/** A layer in a few words: "3×3 conv, 64, stride 2". */
export function layerName(row) {
  if (/^Conv\dd$/.test(row.kind)) {
    const stride = Math.max(...row.stride) > 1 ? `, stride ${short(row.stride)}` : "";
    return `${row.kernel.join("×")} conv, ${row.outputs[0][1]}${stride}`;
  }
  if (/Pool/.test(row.kind) && row.kernel) {
    return `${row.kernel.join("×")} ${/Max/.test(row.kind) ? "max" : "average"} pool, stride ${short(row.stride)}`;
  }
  if (row.kind === "Linear") return `linear, ${row.outputs[0].at(-1)}`;
  return NAMES[row.kind] ?? row.kind;
}

const text = (x, y, words, css = "", anchor = "middle") =>
  svg("text", { x, y, "text-anchor": anchor, class: css || null }, words);
const head = (x, y, down, css) =>
  svg("path", { d: `M${x} ${y}${down ? "l-4 -8h8z" : "l8 -4v8z"}`, class: `rx-tip ${css}` });
const line = (d, css = "") => svg("path", { d, class: `rx-wire ${css}` });

function box(x, y, row, css, onhover) {
  const words = row.failed ? `${NAMES[row.kind] ?? row.kind} ✕` : layerName(row);
  return svg("g", { class: `rx-box ${css}`, onpointerenter: !row.failed && (() => onhover(row.index)) },
    svg("rect", { x: x - BOX / 2, y: y - TALL / 2, width: BOX, height: TALL, rx: 5 }), text(x, y + 4.5, words));
}

function plus(x, y, row, onhover) {
  const bad = row.failed;
  const d = bad ? `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` : `M${x - 6} ${y}h12M${x} ${y - 6}v12`;
  return svg("g", { class: `rx-plus${bad ? " rx-bad" : ""}`, onpointerenter: !bad && (() => onhover(row.index)) }, svg("circle", { cx: x, cy: y, r: 13 }), svg("path", { d }));
}

/** The rows to draw, with the one that failed as a last one. */
function steps(rows, error) {
  if (!error) return rows;
  const last = { index: -1, kind: error.kind, path: error.path, failed: true, inputs: error.shapes, outputs: [] };
  if (error.type !== "ShapeMismatchError") return [...rows, last];
  const main = rows.at(-1);
  return [...rows, { ...last, kind: "add", inputs: [main.outputs[0], error.shapes[0]] }];
}

export function blockView(rows, { title, error = null, onhover = () => {} }) {
  const all = steps(rows, error);
  const adds = all.filter((row) => row.kind === "add");
  const branches = adds.length === 1;
  const lane = branches ? all.filter((row) => row.on_shortcut) : [];
  const way = all.filter((row) => !lane.includes(row));
  const start = all[0].inputs[0] ?? [];
  const out = [text(MAIN, 14, `x: ${size(start)}`, "rx-small")];
  let y = 22;
  const places = new Map([["in", y + 9]]);
  let end = 0;
  const role = (name) => text(MAIN - 9, y + 19, name, "rx-role", "end"); // what the paper calls what is on this arrow
  way.forEach((row, i) => {
    const top = y + GAP;
    const bad = row.failed ? "rx-bad" : "";
    out.push(line(`M${MAIN} ${y}V${top - 5}`), head(MAIN, top, true, ""));
    if (branches && row.kind === "add") out.push(role("F(x)"), text(MAIN - 20, top + 17, "addition", "rx-small", "end"));
    if (end && way[i - 1].kind === "add") out.push(role("H(x)"));
    if (i) out.push(text(MAIN + 9, y + 19, size(way[i - 1].outputs[0]), "rx-small", "start"));
    const half = row.kind === "add" && branches ? 13 : TALL / 2;
    if (row.kind === "add" && branches) {
      out.push(plus(MAIN, top + half, row, onhover));
      end = top + half;
    } else out.push(box(MAIN, top + half, row, bad, onhover));
    y = top + 2 * half;
    places.set(row.index, y + 9);
  });
  const last = way.at(-1);
  if (!last.failed) {
    if (branches && last.kind === "add") out.push(role("H(x)"));
    out.push(line(`M${MAIN} ${y}V${y + GAP - 5}`), head(MAIN, y + GAP, true, ""));
    out.push(text(MAIN, y + GAP + 15, size(last.outputs[0]), "rx-small"));
    y += GAP + 22;
  } else {
    out.push(text(MAIN, y + 18, last.kind === "add" ? error.brief ?? "cannot be added" : error.type, "rx-small rx-red"));
    y += 26;
  }
  if (branches) out.push(...shortcut(places, end, lane, adds[0], onhover));
  const width = branches ? LANE + 112 : 2 * MAIN;
  const alt = describe(title, start, way, lane, adds, error);
  return h("div", { class: "rx-block" }, svg("svg", {
    viewBox: `0 0 ${width} ${Math.ceil(y)}`, role: "img", "aria-label": alt, style: `max-width:${width}px`,
  }, out));
}

function shortcut(places, end, lane, add, onhover) {
  const from = lane[0]?.sources[0] ?? add.shortcut;
  const begin = places.get(from) ?? places.get("in");
  const css = add.failed ? "rx-skip rx-red" : "rx-skip";
  const out = [
    line(`M${MAIN} ${begin}H${LANE}V${end}H${MAIN + 16}`, css), head(MAIN + 13, end, false, css),
    svg("circle", { cx: MAIN, cy: begin, r: 3.5, class: "rx-dot" }),
  ];
  if (lane.length) out.push(text(LANE - 9, end - 7, "x, made to fit", "rx-small", "end"));
  const step = TALL + GAP;
  const first = (begin + end - (lane.length - 1) * step) / 2;
  lane.forEach((row, i) => {
    out.push(box(LANE, first + i * step, row, "rx-side", onhover));
    out.push(text(LANE + 9, first + i * step + TALL / 2 + 19, size(row.outputs[0]), "rx-small", "start"));
  });
  if (!lane.length) {
    out.push(text(LANE + 9, (begin + end) / 2 - 5, "x, unchanged", "rx-small", "start"));
    out.push(text(LANE + 9, (begin + end) / 2 + 11, size(add.inputs[1]), "rx-small", "start"));
  }
  return out;
}

function describe(title, start, way, lane, adds, error) {
  const name = (row) => (row.kind === "add" ? "the addition" : layerName(row));
  const done = way.filter((row) => !row.failed);
  let words = `${title}: input ${size(start)}; ${done.map((r) => `${name(r)} to ${size(r.outputs[0])}`).join(", ")}.`;
  if (adds.length === 1) words += ` Shortcut: ${lane.map(layerName).join(", ") || "unchanged"}.`;
  return error ? `${words} ${error.text}` : words;
}

export { style };
