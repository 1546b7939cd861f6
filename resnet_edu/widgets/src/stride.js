// The stride explorer: which pixels of its input a bottleneck that halves the map reads, on which branch.
//
// Traits: version ("1", "1.5", "D"), part ("block", "main", "shortcut"), row, column (of the output, from 1).
//
// Sources: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (version 1); torchvision (1.5);
// He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR 2019, section 4 (D).
import { addStyle } from "./lib/style.js";
import { announcer, frame, h, numberField, onFrame, radioField, say, svg } from "./lib/ui.js";
import STYLE from "./stride.css";

export const SIZE = 8; // of the input; the output has half of it
const OUT = SIZE / 2;
const CELL = 22;
const VERSIONS = [["1", "1: stride on the first 1×1"], ["1.5", "1.5: stride on the 3×3"], ["D", "D: mean on the shortcut"]];
const PARTS = [["block", "whole block"], ["main", "main path"], ["shortcut", "shortcut"]];
const range = (n) => Array.from({ length: n }, (_, i) => i);

/** The rows of the input that row `o` of the output reads on one branch; for columns it is the same. */
function lines(version, branch, o) {
  if (branch === "shortcut") return version === "D" ? [2 * o, 2 * o + 1] : [2 * o];
  const step = version === "1" ? 2 : 1; // the 3×3 of version 1 works on what the stride has left
  return [2 * o - step, 2 * o, 2 * o + step];
}

/** Which pixels of the input one pixel of the output reads: rows of true and false. */
export function reads(version, part, row, column) {
  const branches = part === "block" ? ["main", "shortcut"] : [part];
  return range(SIZE).map((r) => range(SIZE).map((c) => branches.some((branch) =>
    lines(version, branch, row).includes(r) && lines(version, branch, column).includes(c))));
}

/** Which pixels of the input any pixel of the output reads. */
export function readByAny(version, part) {
  const each = range(OUT).flatMap((row) => range(OUT).map((column) => reads(version, part, row, column)));
  return range(SIZE).map((r) => range(SIZE).map((c) => each.some((grid) => grid[r][c])));
}

const count = (grid) => grid.flat().filter(Boolean).length;

/** A square map: kinds[row][column] is "lit", "read" or "unread". */
function map(title, kinds, onclick) {
  const side = kinds.length * CELL;
  const cells = kinds.flatMap((row, r) => row.map((kind, c) => svg("g", onclick && { onclick: () => onclick(r, c) },
    svg("rect", { class: `rx-st-${kind}`, x: c * CELL + 1, y: r * CELL + 1, width: CELL - 2, height: CELL - 2 }),
    kind === "unread" && svg("path", { class: "rx-st-cross", d: `M${c * CELL + 8} ${r * CELL + 8}l6 6m0-6l-6 6` }))));
  return svg("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": title, style: `width:${side * 1.35}px` }, cells);
}

function render({ model, el }) {
  addStyle(el, "stride", STYLE);
  const voice = announcer();
  const change = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const radios = (label, name, options) => [name, radioField({
    label, options, value: model.get(name), onchange: (value) => change({ [name]: value }),
  })];
  const place = (label, name) => [name, numberField({
    label, min: 1, max: OUT, value: model.get(name), onchange: (value) => change({ [name]: value }),
  })];
  const fields = [radios("Version", "version", VERSIONS), radios("What reads", "part", PARTS),
    place("Row of the output", "row"), place("Column of the output", "column")];
  const [input, output, words] = [h("div"), h("div"), h("p")];

  function draw() {
    for (const [name, field] of fields) field.set(model.get(name));
    const [version, part, row, column] = ["version", "part", "row", "column"].map((name) => model.get(name));
    const [any, one] = [readByAny(version, part), reads(version, part, row - 1, column - 1)];
    const what = PARTS.find(([value]) => value === part)[1];
    const share = `${count(any)} of ${SIZE * SIZE} pixels (${(100 * count(any)) / (SIZE * SIZE)}%)`;
    const title = `Input: the ${what} of version ${version} reads ${share}`;
    input.replaceChildren(map(`${title}; ${count(one)} of them for the chosen pixel of the output`,
      any.map((line, r) => line.map((seen, c) => (one[r][c] ? "lit" : seen ? "read" : "unread")))));
    output.replaceChildren(map(`Output: row ${row}, column ${column} is chosen`,
      range(OUT).map((r) => range(OUT).map((c) => (r === row - 1 && c === column - 1 ? "lit" : "read"))),
      (r, c) => change({ row: r + 1, column: c + 1 })));
    say(words, `The ${what} of version ${version} reads ${share}. The chosen pixel of the output reads ${count(one)}.`);
    voice.say(words.textContent);
  }

  const ask = onFrame(draw);
  model.on("change", ask);
  const figure = (node, caption) => h("figure", {}, node, h("figcaption", {}, caption));
  el.append(frame("Stride explorer", h("div", { class: "rx-controls" }, fields.map(([, field]) => field.node)),
    h("div", { class: "rx-st" }, figure(input, `input, ${SIZE}×${SIZE}; a cross: never read`),
      figure(output, `output, ${OUT}×${OUT}; choose a pixel`)), words, voice.node));
  draw();
  return () => {
    model.off("change", ask);
    ask.cancel();
    voice.stop();
  };
}

export default { render };
