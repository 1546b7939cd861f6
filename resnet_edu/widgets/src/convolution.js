// The convolution explorer: one window that slides over a padded image, and how far a stack of layers sees.
//
// Sources
//   [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016: the drawings of part one.
//   [2] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019: part two.
import { outputSize, reach, refusal, runs, seen, taps, unread, walk } from "./lib/conv.js";
import { addStyle } from "./lib/style.js";
import {
  announcer, button, frame, h, numberField, onFrame, patch, player, say, selectField, svg, table, thousands,
} from "./lib/ui.js";
import STYLE from "./convolution.css";

const LIMITS = { size: [1, 512], kernel: [1, 11], stride: [1, 8], padding: [0, 10], dilation: [1, 6] };
const WINDOW = ["kernel", "stride", "padding", "dilation"];
const MOST_LAYERS = 12;
const MOST_LINES = 80; // cells along a side; the lines between more of them would be all that is to be seen

const layer = (kernel, stride = 1, padding = 1, op = "conv", dilation = 1) => ({ op, kernel, stride, padding, dilation });
const [same, half, pool] = [layer(3), layer(3, 2), layer(2, 2, 0, "pool")];
const STACKS = [
  ["three 3×3", 16, [same, same, same]],
  ["three 3×3, the first with stride 2", 16, [half, same, same]],
  ["three 3×3, dilated by 1, 2 and 4", 24, [same, layer(3, 1, 2, "conv", 2), layer(3, 1, 4, "conv", 4)]],
  ["two blocks of conv, conv, pool", 28, [same, same, pool, same, same, pool]],
  ["where a ResNet halves", 224, [layer(7, 2, 3), layer(3, 2, 1, "pool"), half, half, half]],
];

const ink = (name) => `var(--rx-${name})`;
const path = (d, fill, stroke, more) => d && svg("path", { d, fill: fill ? ink(fill) : "none", stroke: stroke && ink(stroke), ...more });
const square = (x, y, w, height = w) => `M${x} ${y}h${w}v${height}h${-w}z`;
const each = (n, draw) => Array.from({ length: n }, (_, i) => draw(i)).join("");
const grid = (n) => n <= MOST_LINES && each(n - 1, (i) => `M${i + 1} 0v${n}M0 ${i + 1}h${n}`);
const plural = (n, thing) => `${thousands(n)} ${thing}${n === 1 ? "" : "s"}`;
const minus = (n) => String(n).replace("-", "−");
const clamp = (n, most) => Math.min(most, Math.max(0, n));
/** [0, 1, 2] -> "0 to 2", [0, 2, 4] -> "0, 2 and 4", [3] -> "3". */
const listed = (positions) => positions.length > 2 && runs(positions).length === 1
  ? `${positions[0]} to ${positions.at(-1)}`
  : positions.join(", ").replace(/, (\d+)$/, " and $1");
const errorBox = () => h("p", { class: "rx-error", role: "alert" });
function refuse(box, where, error) {
  box.hidden = !error;
  box.replaceChildren(h("strong", {}, `PyTorch${where}: `), `RuntimeError: ${error}`);
}
const number = (label, [min, max], value, onchange, slider = false) =>
  numberField({ label, min, max, value, onchange, slider });

/** In words, why an output has the size that it has. */
function explain(size, one) {
  const { kernel, stride, padding, dilation } = one;
  const [span, given] = [reach(one), 2 * padding];
  const rest = (size + given - span) % stride;
  const more = given - span + 1;
  const missed = unread(size, one).length;
  return [
    dilation > 1 && `With dilation ${dilation} the ${kernel} × ${kernel} taps reach over ${span} pixels.`,
    stride > 1
      ? `The window moves by ${stride}. ${rest ? `The floor drops a last step that would need ${plural(stride - rest, "pixel")} more.` : "The last step just fits."}`
      : `The kernel costs ${dilation > 1 ? "its reach" : "k"} − 1 = ${plural(span - 1, "pixel")}, the padding gives 2 · ${padding} = ${given}: `
        + (more ? `${plural(Math.abs(more), "pixel")} ${more < 0 ? "fewer" : "more"}.` : "the size stays."),
    missed && `${thousands(size ** 2 - (size - missed) ** 2)} of ${plural(size ** 2, "pixel")} (red) are never read.`,
  ].filter(Boolean).join(" ");
}

/** Part one: the window on the image. */
function windowPart(model, voice, change) {
  const fields = ["size", ...WINDOW].map((name) => {
    const label = name === "size" ? "Input size n" : `${name[0].toUpperCase()}${name.slice(1)} ${name[0]}`;
    return [name, number(label, LIMITS[name], model.get(name), (value) => change({ [name]: value }), name !== "size")];
  });
  const [symbols, numbers, why, view, left, right] = ["div", "div", "p", "p", "span", "span"].map((tag) => h(tag));
  const error = errorBox();
  const input = svg("g");
  const output = svg("g", { role: "slider", tabindex: "0", "aria-label": "Output cell" });
  const plane = svg("svg", { class: "rx-cv-plane", role: "group" }, input, output);
  const figure = h("div", {}, plane, h("div", { class: "rx-pair rx-cv-names" }, left, right));
  let now = { out: 0 }; // what is drawn: the sizes, and where the output is

  const cell = () => model.get("cell").map((i) => clamp(i, now.out - 1)); // moved inside if the output is smaller
  const go = (row, column) => now.out && change({ cell: [clamp(row, now.out - 1), clamp(column, now.out - 1)] });
  const steps = player({
    what: "place of the window",
    onstep(by) {
      const [all, [row, column]] = [now.out ** 2, cell()];
      const next = (row * now.out + column + by + all) % all || 0; // from the last place on to the first
      go(Math.floor(next / now.out), next % now.out);
      return next < all - 1;
    },
  });
  output.addEventListener("keydown", (event) => {
    const [row, column] = cell();
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], Home: [row, 0],
      ArrowDown: [row + 1, column], End: [row, 999], PageUp: [0, column], PageDown: [999, column],
    }[event.key];
    if (!to || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    steps.stop();
    go(...to);
  });
  const point = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    steps.stop();
    const box = plane.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * now.width;
    const y = ((event.clientY - box.top) / box.height) * now.height;
    const nearest = (at) => Math.round((at - reach(now.one) / 2) / now.one.stride); // the window with its middle there
    if (x >= now.x - 1) go(Math.floor(y - now.y), Math.floor(x - now.x));
    else if (x <= now.side) go(nearest(y - now.top), nearest(x));
  };
  plane.addEventListener("pointerdown", point);
  plane.addEventListener("pointermove", point);

  function draw() {
    const size = model.get("size");
    const one = Object.fromEntries(WINDOW.map((name) => [name, model.get(name)]));
    for (const [name, control] of fields) if (control.value !== model.get(name)) control.set(model.get(name));
    const { kernel, stride, padding, dilation } = one;
    const [span, side, refused] = [reach(one), size + 2 * padding, refusal(size, one)];
    const out = outputSize(size, one) ?? 0;
    const quotient = (side - span) / stride;
    const wide = dilation > 1;
    say(symbols, `output = ⌊(n + 2p − ${wide ? "d·(k − 1) − 1" : "k"}) / s⌋ + 1`);
    numbers.replaceChildren(`= ⌊(${size} + 2·${padding} − ${wide ? `${dilation}·(${kernel} − 1) − 1` : kernel}) / ${stride}⌋ + 1 = `,
      Number.isInteger(quotient) ? "" : `⌊${minus(+quotient.toFixed(2))}⌋ + 1 = `,
      `${minus(Math.floor(quotient))} + 1 = `, h("b", {}, out || "no output"));
    refuse(error, "", refused);
    say(why, refused ? `The kernel reaches over ${span} pixels, and there are only ${side} with the padding.` : explain(size, one));

    const x = side + Math.max(2, Math.ceil(side / 5));
    const [height, width] = [Math.max(side, out), x + (out || 1)];
    const [top, y] = [(height - side) / 2, (height - out) / 2];
    now = { one, out, side, width, height, top, x, y };
    patch(plane, { viewBox: `-.2 -.2 ${width + 0.4} ${height + 0.4}`, "aria-label": `A window on ${size} by ${size} pixels` });
    patch(figure, { style: `max-width:${Math.round(width * Math.min(30, 416 / height))}px` });
    say(left, `input ${size} × ${size}${padding ? `, with padding ${side} × ${side}` : ""}`);
    patch(right, { style: `min-width:${(100 * out) / width}%` }); // the width of the map, under which it stands
    say(right, out ? `output ${out} × ${out}` : "no output");
    const [row, column] = cell();
    const [rows, columns] = [taps(row, one), taps(column, one)];
    const [a, b] = [columns[0] + padding, rows[0] + padding];
    const strip = ([from, to]) => square(padding, padding + from, size, to - from + 1) + square(padding + from, padding, to - from + 1, size);
    patch(input, { transform: `translate(0 ${top})` }).replaceChildren(...[
      path(padding && square(0, 0, side), "soft", "strong-line", { "stroke-dasharray": "4 3" }),
      path(square(padding, padding, size), "paper", "strong-line"),
      path(out && runs(unread(size, one)).map(strip).join(""), "bad-soft"),
      path(grid(side), "", "line"),
      path(out && rows.map((r) => columns.map((c) => square(c + padding, r + padding, 1)).join("")).join(""), "accent", "", { "fill-opacity": ".45" }),
      path(out && square(a, b, span), "", "accent", { "stroke-width": 2.5 }),
      path(out && `M${a + span} ${b}L${x + column} ${y - top + row}M${a + span} ${b + span}L${x + column} ${y - top + row + 1}`, "", "add", { "stroke-dasharray": "3 3" }),
    ].filter(Boolean));
    patch(output, { transform: `translate(${x} ${y})` }).replaceChildren(...[
      path(out && square(0, 0, out), "paper", "strong-line"),
      path(out && square(0, 0, out, row) + square(0, row, column, 1), "add-soft"), // what the window has passed
      path(grid(out), "", "line"),
      path(out && square(column, row, 1), "add", "add"),
      path(out && square(-0.1, -0.1, out + 0.2), "", "", { class: "rx-cv-ring" }),
    ].filter(Boolean));
    const [r, c] = [rows, columns].map((positions) => positions.filter((p) => p >= 0 && p < size));
    const zeros = kernel ** 2 - r.length * c.length;
    const name = (word, positions) => `${word}${positions.length > 1 ? "s" : ""} ${listed(positions)}`;
    const text = !out ? "" : `Output [${row}, ${column}] sees ${zeros < kernel ** 2 ? `${name("row", r)} and ${name("column", c)} of the input` : "no pixel of the input"}`
      + `${zeros ? `, and ${plural(zeros, "zero")} of the padding` : ""}.`;
    say(view, text);
    patch(output, {
      "aria-disabled": String(!out), "aria-valuemin": 1, "aria-valuemax": out ** 2 || 1,
      "aria-valuenow": row * out + column + 1, "aria-valuetext": text || "none",
    });
    if (document.activeElement !== output) voice.say(refused ? error.textContent : text);
  }

  const node = h("div", {},
    h("div", { class: "rx-controls" }, fields.map(([, control]) => control.node)),
    h("div", { class: "rx-cv-formula" }, symbols, numbers), error, why,
    h("div", { class: "rx-radios" }, steps.node, h("span", { class: "rx-unit" }, "or click a cell, or use the arrow keys on the output")),
    figure, view);
  return { node, draw, stop: steps.stop };
}

/** Part two: the stack. `ask` draws again. */
function stackPart(model, voice, change, ask) {
  const layers = () => model.get("layers");
  const edit = (i, values) => change({ layers: layers().map((l, j) => (j === i ? { ...l, ...values } : l)) });
  const preset = selectField({
    label: "A stack of layers", options: [[-1, "your own"], ...STACKS.map(([name], i) => [i, name])], value: -1,
    onchange: (i) => i < 0 || change({ image: STACKS[i][1], layers: STACKS[i][2] }),
  });
  const image = number("Image size", LIMITS.size, model.get("image"), (value) => change({ image: value }));
  let [index, most] = [-1, 1]; // the output that is looked at, -1 for the middle; and the last there is
  const which = number("Look at output", [0, 1], 0, (value) => {
    index = value;
    ask();
  }, true);
  const [holder, names, view, last] = ["div", "section", "p", "p"].map((tag) => h(tag));
  const error = errorBox();
  const full = () => layers().length >= MOST_LAYERS;
  const more = button("Add a layer", () => full() || change({ layers: [...layers(), same] }));
  const drawing = svg("svg", { role: "img", preserveAspectRatio: "none" });
  let lines = [];

  function line(i) {
    const label = (name) => h("span", { class: "rx-spoken" }, `Layer ${i + 1}, ${name}`); // the column says it, too
    const op = selectField({
      label: label("kind"), options: [["conv", "conv"], ["pool", "pool"]], value: layers()[i].op,
      onchange: (value) => edit(i, { op: value, ...(value === "pool" && { dilation: 1 }) }),
    });
    const cells = WINDOW.map((name) => number(label(name), LIMITS[name], layers()[i][name], (value) => edit(i, { [name]: value })));
    const remove = button("×", () => {
      change({ layers: layers().filter((_, j) => j !== i) });
      more.focus();
    }, { "aria-label": `Remove layer ${i + 1}` });
    return { op, cells, size: h("span"), field: h("span"), remove };
  }

  function rebuild(count) {
    lines = Array.from({ length: count }, (_, i) => line(i));
    holder.replaceChildren(table({
      caption: "The layers, from the image on",
      columns: [..."layer kind k s p d".split(" ").map((title) => [title]), ["size", "number"], ["receptive field", "number"], [""]],
      rows: lines.map((l, i) => [String(i + 1), l.op.node, ...l.cells.map((f) => f.node), l.size, l.field, l.remove]),
    }));
  }

  function draw() {
    const [n, stack] = [model.get("image"), layers()];
    if (image.value !== n) image.set(n);
    if (lines.length !== stack.length) rebuild(stack.length);
    preset.set(STACKS.findIndex((known) => JSON.stringify(known.slice(1)) === JSON.stringify([n, stack])));
    patch(more, { "aria-disabled": full() && "true" }); // not `disabled`, which would take the focus away
    const rows = walk(n, stack);
    lines.forEach((l, i) => {
      const [one, below, row] = [stack[i], rows[i], rows[i + 1]];
      l.remove.disabled = stack.length === 1;
      WINDOW.forEach((name, j) => {
        const limits = name === "dilation" && l.was !== one.op && { max: one.op === "pool" ? 1 : LIMITS.dilation[1] };
        if (limits || l.cells[j].value !== one[name]) l.cells[j].set(one[name], limits || {}); // a set takes the note away
      });
      l.op.set((l.was = one.op));
      say(l.size, row ? String(row.size ?? "error") : "–");
      say(l.field, row?.size ? `${below.field} + ${reach(one) - 1}·${below.jump} = ${row.field}` : "–");
    });
    const bad = rows.at(-1).error;
    refuse(error, `, in layer ${rows.length - 1}`, bad);
    if (bad) rows.pop();
    const [top, used] = [rows.at(-1), stack.slice(0, rows.length - 1)];
    const at = clamp(index < 0 ? Math.floor((top.size - 1) / 2) : index, top.size - 1);
    if (at !== which.value || most !== top.size - 1) which.set(at, { max: (most = top.size - 1) });
    const levels = seen(at, used, rows.map((row) => row.size));
    picture(rows, levels, stack);
    const pixels = levels[0];
    const width = pixels.at(-1) - pixels[0] + 1;
    const text = !used.length ? "" : !pixels.length ? `Output ${at} sees nothing but padding.`
      : `After layer ${used.length}, output ${at} sees ${plural(pixels.length, "pixel")} along each side: ${listed(pixels)}.`
        + (width < top.field ? ` Its field is ${top.field} wide; ${top.field - width} are padding or unread.` : "");
    say(view, text);
    say(last, bad ? "" : `A map of ${top.size} × ${top.size} is left. With c channels, flattened, it is Linear(c * ${top.size} * ${top.size}, …). Neighbouring values stand for places ${plural(top.jump, "pixel")} apart.`);
    if (!which.node.contains(document.activeElement)) voice.say(bad ? error.textContent : text);
  }

  /** Each level as a bar of cells under the pixels that it stands for; what is seen is lit, from level to level. */
  function picture(rows, levels, stack) {
    const at = (row, i) => row.start + i * row.jump - (row.jump - 1) / 2;
    const left = Math.min(...rows.map((row) => at(row, 0)));
    const right = Math.max(...rows.map((row) => at(row, row.size)));
    names.replaceChildren(...rows.map((row, i) =>
      h("div", {}, i ? `${i}: ${stack[i - 1].op} ${stack[i - 1].kernel}×${stack[i - 1].kernel} → ` : "image ", String(row.size))));
    drawing.replaceChildren(...rows.flatMap((row, i) => {
      const y = i * 40;
      const ends = (k) => [at(rows[k], levels[k][0]), at(rows[k], levels[k].at(-1) + 1)];
      const [[a, b], [c, d]] = [ends(i), ends(i && i - 1)];
      const result = i === rows.length - 1;
      return [
        path(i && levels[i - 1].length && `M${c} ${y - 20}H${d}L${b} ${y}H${a}z`, "accent", "", { "fill-opacity": ".15" }),
        path(square(at(row, 0), y, row.size * row.jump, 20), "soft", "strong-line"),
        path(runs(levels[i]).map(([from, to]) => square(at(row, from), y, (to - from + 1) * row.jump, 20)).join(""), result ? "add" : "accent", "", { "fill-opacity": result ? 1 : 0.6 }),
        path(row.size <= MOST_LINES && each(row.size - 1, (k) => `M${at(row, k + 1)} ${y}v20`), "", "strong-line", { "stroke-opacity": ".5" }),
      ].filter(Boolean);
    }));
    const height = rows.length * 40 - 20;
    patch(drawing, {
      viewBox: `${left} 0 ${right - left} ${height}`, height,
      "aria-label": `What one output sees, from the image on: ${rows.map((row, i) => `${levels[i].length} of ${row.size}`).join(", ")} cells`,
    });
  }

  const title = "How the receptive field grows through a stack";
  const node = h("div", { class: "rx-cv-stack", role: "group", "aria-label": title }, h("div", { class: "rx-title" }, title),
    h("div", { class: "rx-controls" }, preset.node, image.node, which.node),
    holder, h("p", {}, "A layer adds (k − 1)·d to the receptive field, times the distance of neighbouring values. Every stride multiplies that distance."),
    more, error, h("div", { class: "rx-cv-cone" }, names, drawing), view, last);
  return { node, draw };
}

function render({ model, el }) {
  addStyle(el, "convolution", STYLE);
  const voice = announcer();
  const change = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const ask = onFrame(() => parts.forEach((part) => part.draw()));
  const parts = [windowPart(model, voice, change), stackPart(model, voice, change, ask)];
  model.on("change", ask);
  el.append(frame("Convolution explorer", h("div", { class: "rx-cv" }, parts.map((part) => part.node)), voice.node));
  parts.forEach((part) => part.draw());
  return () => {
    model.off("change", ask);
    ask.cancel();
    parts[0].stop();
    voice.stop();
  };
}

export { outputSize, refusal, runs, seen, taps, unread, walk }; // for the tests
export default { render };
