// The convolution explorer: one window that slides over a padded image, and how far a stack of layers sees.
//
// Sources
//   [1] Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016: the drawings of part one.
//   [2] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019: part two.
import { outputSize, reach, refusal, runs, seen, taps, unread, walk } from "./lib/conv.js";
import { addStyle } from "./lib/style.js";
import {
  announcer, button, frame, h, numberField, onFrame, patch, player, say, selectField, svg, table, thousands, uid,
} from "./lib/ui.js";

const LIMITS = { size: [1, 512], kernel: [1, 11], stride: [1, 8], padding: [0, 10], dilation: [1, 6] };
const MOST_LAYERS = 12;
const MOST_LINES = 80; // cells along a side; the lines between more of them would be all that is to be seen

const layer = (kernel, stride = 1, padding = 0, op = "conv", dilation = 1) => ({ op, kernel, stride, padding, dilation });
const same = layer(3, 1, 1);
const STACKS = [
  ["three 3×3", 16, [same, same, same]],
  ["three 3×3, the first with stride 2", 16, [layer(3, 2, 1), same, same]],
  ["three 3×3, dilated by 1, 2 and 4", 24, [same, layer(3, 1, 2, "conv", 2), layer(3, 1, 4, "conv", 4)]],
  ["two blocks of conv, conv, pool", 28, [same, same, layer(2, 2, 0, "pool"), same, same, layer(2, 2, 0, "pool")]],
  ["where a ResNet halves", 224, [layer(7, 2, 3), layer(3, 2, 1, "pool"), layer(3, 2, 1), layer(3, 2, 1), layer(3, 2, 1)]],
];

const STYLE = `
.rx-cv-formula{font-size:1.05rem;overflow-wrap:anywhere}
.rx-cv-formula b{color:var(--rx-add)}
.rx-cv-names{display:flex;justify-content:space-between;gap:1rem;font-size:.84rem}
.rx-cv-names>:last-child{text-align:right}
.rx-cv .rx-controls{grid-template-columns:repeat(auto-fill,minmax(8rem,1fr))}
.rx-cv-plane{touch-action:manipulation;cursor:pointer}
.rx-cv-plane *{vector-effect:non-scaling-stroke}
.rx-cv-ring{fill:none;stroke:none}
.rx-cv-plane g:focus-visible{outline:none!important}
.rx-cv-plane g:focus-visible .rx-cv-ring{stroke:var(--rx-accent);stroke-width:4px}
.rx-cv-bar{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1rem;margin:.5rem 0}
.rx-cv-key{display:inline-flex;align-items:center;gap:.35rem;font-size:.82rem;color:var(--rx-muted)}
.rx-cv-key i{width:.85rem;height:.85rem;border:1px solid var(--rx-strong-line)}
.rx-cv-stack{margin-top:1.2rem;padding-top:.9rem;border-top:1px solid var(--rx-line)}
.rx-cv-stack .rx-scroll{position:relative}
.rx-cv-stack td .rx-field>label{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.rx .rx-cv-stack td .rx-number{width:3rem}
.rx .rx-cv-stack td .rx-select{width:4.9rem;padding:0 .2rem}
.rx .rx-cv-stack .rx-table :is(th,td){vertical-align:middle}
.rx-cv-cone{display:grid;grid-template-columns:max-content minmax(0,1fr);column-gap:.7rem;margin:.6rem 0}
.rx-cv-cone ol{margin:0;padding:0;list-style:none;font-size:.82rem}
.rx-cv-cone li{height:40px;line-height:20px;margin:0;padding:0}
.rx-cv-cone li:last-child{height:20px}
.rx-cv-stack .rx-controls>:first-child{grid-column:span 2}
.rx-cv-cone svg{width:100%;overflow:visible}
.rx-cv-cone svg *{vector-effect:non-scaling-stroke}`;

const INK = { paper: "var(--rx-paper)", line: "var(--rx-line)", strong: "var(--rx-strong-line)", window: "var(--rx-accent)", cell: "var(--rx-add)" };
const square = (x, y, w = 1, height = w) => `M${x} ${y}h${w}v${height}h${-w}z`;
const plural = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
const minus = (n) => String(n).replace("-", "−");
const clamp = (n, max) => Math.min(max, Math.max(0, n));
const grid = (n) => Array.from({ length: n - 1 }, (_, i) => `M${i + 1} 0v${n}M0 ${i + 1}h${n}`).join("");
/** [0, 1, 2] -> "0 to 2", [0, 2, 4] -> "0, 2 and 4", [3] -> "3". */
function listed(positions) {
  if (positions.length > 2 && runs(positions).length === 1) return `${positions[0]} to ${positions.at(-1)}`;
  return positions.join(", ").replace(/, (\d+)$/, " and $1");
}

/** Part one: the window on the image. */
function windowPart(model, voice, change) {
  const read = () => ({ size: model.get("size"), ...layerOf(model) });
  const fields = Object.entries({
    size: "Input size n", kernel: "Kernel k", stride: "Stride s", padding: "Padding p", dilation: "Dilation d",
  }).map(([name, label]) => [name, numberField({
    label, slider: name !== "size", min: LIMITS[name][0], max: LIMITS[name][1], value: model.get(name),
    onchange: (value) => change({ [name]: value }),
  })]);

  const [symbols, numbers, why, view] = [h("div"), h("div"), h("p"), h("p")];
  const error = h("p", { class: "rx-error", role: "alert", hidden: true });
  const [inputName, outputName] = [h("span"), h("span")];
  const legend = h("div", { class: "rx-cv-key" }, h("i", { style: "background:var(--rx-bad-soft)" }), "never read");
  const shape = (fill, stroke, more) => svg("path", { fill, stroke, ...more });
  const around = shape("var(--rx-soft)", INK.strong, { "stroke-dasharray": "4 3" });
  const [paper, outPaper] = [shape(INK.paper, INK.strong), shape(INK.paper, INK.strong)];
  const [lines, outLines] = [shape("none", INK.line), shape("none", INK.line)];
  const [missed, done] = [shape("var(--rx-bad-soft)"), shape("var(--rx-add-soft)")];
  const picked = shape(INK.window, null, { "fill-opacity": ".45" });
  const edge = shape("none", INK.window, { "stroke-width": "2.5" });
  const rays = shape("none", INK.cell, { "stroke-dasharray": "3 3" });
  const cell = shape(INK.cell, INK.cell);
  const ring = svg("path", { class: "rx-cv-ring" });
  const slider = svg("g", { role: "slider", tabindex: "0", "aria-label": "Output cell" }, outPaper, done, outLines, cell, ring);
  const plane = svg("svg", { class: "rx-cv-plane", role: "group" }, around, paper, missed, lines, picked, edge, rays, slider);
  const figure = h("div", {}, plane, h("div", { class: "rx-cv-names" }, inputName, outputName));
  let geometry = null;

  /** The cell that is looked at: the trait's, moved inside if the output has become smaller. */
  const current = (out) => model.get("cell").map((i) => clamp(i, out - 1));
  const go = (row, column) => change({ cell: [clamp(row, geometry.out - 1), clamp(column, geometry.out - 1)] });
  const steps = player({
    what: "place of the window",
    onstep(by) {
      if (!geometry) return false;
      const { out } = geometry;
      const [row, column] = current(out);
      const next = (row * out + column + by + out * out) % (out * out); // from the last place on to the first
      go(Math.floor(next / out), next % out);
      return next < out * out - 1;
    },
  });

  slider.addEventListener("keydown", (event) => {
    if (!geometry || event.ctrlKey || event.altKey || event.metaKey) return;
    const [row, column] = current(geometry.out);
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column], Home: [row, 0], End: [row, Infinity], PageUp: [0, column], PageDown: [Infinity, column],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    steps.stop();
    go(...to);
  });
  const point = (event) => {
    if (!geometry || (event.type === "pointermove" && !event.buttons)) return;
    const box = plane.getBoundingClientRect();
    const { side, width, left, top, out, one } = geometry;
    const [x, y] = [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * geometry.height];
    steps.stop();
    if (x >= left - 1) go(Math.floor(y - top), Math.floor(x - left));
    else if (x <= side) {
      const nearest = (at) => Math.round((at - reach(one) / 2) / one.stride); // the window whose middle is nearest
      go(nearest(y - geometry.inTop), nearest(x));
    }
  };
  plane.addEventListener("pointerdown", point);
  plane.addEventListener("pointermove", point);

  function explain(one, size, out) {
    const span = reach(one);
    const { kernel, stride, padding, dilation } = one;
    const [lost, given] = [span - 1, 2 * padding];
    const parts = [];
    if (dilation > 1) parts.push(`With dilation ${dilation} the ${kernel} × ${kernel} taps reach over ${span} pixels.`);
    if (stride > 1) {
      const rest = (size + given - span) % stride;
      parts.push(`The window moves by ${stride}. ${rest ? `The floor drops a last step that would need ${plural(stride - rest, "pixel")} more.` : "The last step just fits."}`);
    } else {
      const more = given - lost;
      parts.push(`The kernel costs ${dilation > 1 ? "its reach" : "k"} − 1 = ${plural(lost, "pixel")}, the padding gives 2 · ${padding} = ${given}: `
        + (more ? `${plural(Math.abs(more), "pixel")} ${more < 0 ? "fewer" : "more"}.` : "the size stays."));
    }
    const never = size ** 2 - (size - unread(size, one).length) ** 2;
    if (never) parts.push(`${thousands(never)} of ${thousands(size ** 2)} pixels are never read.`);
    legend.hidden = !never;
    return parts.join(" ");
  }

  function draw() {
    const { size, ...one } = read();
    for (const [name, field] of fields) if (field.value !== model.get(name)) field.set(model.get(name));
    const [span, out, refused] = [reach(one), outputSize(size, one), refusal(size, one)];
    const side = size + 2 * one.padding;
    const short = one.dilation === 1;
    symbols.replaceChildren("output = ⌊(n + 2p − ", short ? "k" : "d·(k − 1) − 1", ") / s⌋ + 1");
    const room = side - span;
    const quotient = room / one.stride;
    const head = `= ⌊(${size} + 2·${one.padding} − ${short ? one.kernel : `${one.dilation}·(${one.kernel} − 1) − 1`}) / ${one.stride}⌋ + 1 = `;
    const floor = Number.isInteger(quotient) ? "" : `⌊${minus(+quotient.toFixed(2))}⌋ + 1 = `;
    numbers.replaceChildren(head, floor, `${minus(Math.floor(quotient))} + 1 = `, h("b", {}, out === null ? "no output" : String(out)));
    error.hidden = !refused;
    if (refused) {
      legend.hidden = true;
      error.replaceChildren(h("strong", {}, "PyTorch: "), `RuntimeError: ${refused}`);
      say(why, `The kernel reaches over ${span} pixels, and there are only ${side} with the padding. A larger input, more padding or a smaller kernel would do.`);
    } else say(why, explain(one, size, out));

    const gap = Math.max(2, Math.ceil(side / 5));
    const [height, width] = [Math.max(side, out ?? 1), side + gap + (out ?? 1)];
    const [left, top, inTop] = [side + gap, (height - (out ?? 1)) / 2, (height - side) / 2];
    geometry = out && { side, width, height, left, top, inTop, out, one };
    patch(plane, {
      viewBox: `-.2 -.2 ${width + 0.4} ${height + 0.4}`,
      "aria-label": `The window on the image of ${size} by ${size}, and the output`,
    });
    patch(figure, { style: `max-width:${Math.round(width * Math.min(30, 416 / height))}px` });
    const at = (node, x, y) => patch(node, { transform: `translate(${x} ${y})` });
    for (const node of [around, paper, missed, lines, picked, edge]) at(node, 0, inTop);
    for (const node of [outPaper, done, outLines, cell, ring]) at(node, left, top);
    const { padding } = one;
    patch(around, { d: padding ? square(0, 0, side) : null });
    patch(paper, { d: square(padding, padding, size) });
    patch(lines, { d: side > MOST_LINES ? null : grid(side) });
    const gone = out ? runs(unread(size, one)) : [];
    patch(missed, { d: gone.map(([a, b]) => square(padding, padding + a, size, b - a + 1) + square(padding + a, padding, b - a + 1, size)).join("") || null });
    say(inputName, `input ${size} × ${size}${padding ? `, with padding ${side} × ${side}` : ""}`);
    say(outputName, out ? `output ${out} × ${out}` : "no output");
    patch(slider, { "aria-disabled": String(!out), "aria-valuemin": 1, "aria-valuemax": out ? out * out : 1 });
    if (!out) {
      for (const node of [picked, edge, rays, done, cell, outLines, outPaper, ring]) patch(node, { d: null });
      patch(slider, { "aria-valuenow": 1, "aria-valuetext": "none" });
      return say(view, "");
    }
    const [row, column] = current(out);
    const [rows, columns] = [taps(row, one), taps(column, one)];
    const [x, y] = [columns[0] + padding, rows[0] + padding];
    patch(picked, { d: rows.map((r) => columns.map((c) => square(c + padding, r + padding)).join("")).join("") });
    patch(edge, { d: square(x, y, span) });
    patch(outPaper, { d: square(0, 0, out) });
    patch(done, { d: (row ? square(0, 0, out, row) : "") + (column ? square(0, row, column, 1) : "") || null });
    patch(outLines, { d: out > MOST_LINES ? null : grid(out) });
    patch(cell, { d: square(column, row) });
    patch(ring, { d: square(-0.1, -0.1, out + 0.2) });
    patch(rays, { d: `M${x + span} ${y + inTop}L${left + column} ${top + row}M${x + span} ${y + inTop + span}L${left + column} ${top + row + 1}` });
    const inside = (positions) => positions.filter((p) => p >= 0 && p < size);
    const [r, c] = [inside(rows), inside(columns)];
    const empty = one.kernel ** 2 - r.length * c.length;
    const what = r.length && c.length ? `${r.length > 1 ? "rows" : "row"} ${listed(r)} and ${c.length > 1 ? "columns" : "column"} ${listed(c)} of the input` : "no pixel of the input";
    const text = `Output [${row}, ${column}] sees ${what}${empty ? `, and ${plural(empty, "zero")} of the padding` : ""}.`;
    say(view, text);
    patch(slider, { "aria-valuenow": row * out + column + 1, "aria-valuetext": text });
    if (document.activeElement !== slider) voice.say(text);
  }

  const node = h("div", {},
    h("div", { class: "rx-controls" }, fields.map(([, field]) => field.node)),
    h("div", { class: "rx-cv-formula" }, symbols, numbers), error, why,
    h("div", { class: "rx-cv-bar" }, steps.node, h("span", { class: "rx-unit" }, "or click a cell, or use the arrow keys on the output")),
    figure, view, legend);
  return { node, draw, stop: steps.stop };
}

const layerOf = (model) => ({
  op: "conv", kernel: model.get("kernel"), stride: model.get("stride"), padding: model.get("padding"), dilation: model.get("dilation"),
});

/** Part two: the stack. */
function stackPart(model, voice, change) {
  const layers = () => model.get("layers");
  const edit = (i, values) => change({ layers: layers().map((l, j) => (j === i ? { ...l, ...values } : l)) });
  const preset = selectField({
    label: "A stack of layers", options: [["own", "your own"], ...STACKS.map(([name], i) => [i, name])], value: "own",
    onchange: (i) => i !== "own" && change({ image: STACKS[i][1], layers: STACKS[i][2] }),
  });
  const image = numberField({
    label: "Image size", slider: false, min: 1, max: LIMITS.size[1], value: model.get("image"),
    onchange: (value) => change({ image: value }),
  });
  let most = 1; // the last output, as the field knows it
  let index = -1; // of the output that is looked at; -1 is the middle
  const which = numberField({
    label: "Look at output", min: 0, max: 1, value: 0,
    onchange(value) {
      index = value;
      ask();
    },
  });
  const [holder, cone, view, last] = [h("div"), h("div", { class: "rx-cv-cone" }), h("p"), h("p")];
  const error = h("p", { class: "rx-error", role: "alert", hidden: true });
  const more = button("Add a layer", () => change({ layers: [...layers(), same] }));
  const drawing = svg("svg", { role: "img", preserveAspectRatio: "none" });
  const names = h("ol");
  cone.append(names, drawing);
  let lines = [];
  let ask = () => {};

  function line(i) {
    const field = (name, label) => numberField({
      label: `Layer ${i + 1}, ${label}`, slider: false, min: LIMITS[name][0], max: LIMITS[name][1], value: layers()[i][name],
      onchange: (value) => edit(i, { [name]: value }),
    });
    const op = selectField({
      label: `Layer ${i + 1}, kind`, options: [["conv", "conv"], ["pool", "pool"]], value: layers()[i].op,
      onchange: (value) => edit(i, { op: value, ...(value === "pool" && { dilation: 1 }) }),
    });
    const cells = { kernel: field("kernel", "kernel"), stride: field("stride", "stride"), padding: field("padding", "padding"), dilation: field("dilation", "dilation") };
    return { op, cells, size: h("span"), field: h("span"), remove: button("×", () => {
      change({ layers: layers().filter((_, j) => j !== i) });
      more.focus();
    }, { "aria-label": `Remove layer ${i + 1}` }) };
  }

  function rebuild(count) {
    lines = Array.from({ length: count }, (_, i) => line(i));
    holder.replaceChildren(table({
      caption: "From the image on. A layer adds (k − 1)·d to the receptive field, times the distance of neighbouring values, which every stride multiplies.",
      columns: [["layer", ""], ["kind", ""], ["k", ""], ["s", ""], ["p", ""], ["d", ""], ["size", "number"], ["receptive field", "number"], ["", ""]],
      rows: lines.map((l, i) => [String(i + 1), l.op.node, ...Object.values(l.cells).map((f) => f.node), l.size, l.field, l.remove]),
    }));
  }

  function draw() {
    const [n, stack] = [model.get("image"), layers()];
    if (image.value !== n) image.set(n);
    if (lines.length !== stack.length) rebuild(stack.length);
    const fits = STACKS.findIndex(([, size, other]) => size === n && JSON.stringify(other.map(Object.entries)) === JSON.stringify(stack.map(Object.entries)));
    preset.set(fits < 0 ? "own" : fits);
    more.disabled = stack.length >= MOST_LAYERS;
    const rows = walk(n, stack);
    lines.forEach((l, i) => {
      const [below, row] = [rows[i], rows[i + 1]];
      l.remove.disabled = stack.length === 1;
      l.op.set(stack[i].op);
      for (const [name, f] of Object.entries(l.cells)) {
        const limits = name === "dilation" && l.was !== stack[i].op ? { max: stack[i].op === "pool" ? 1 : LIMITS.dilation[1] } : null;
        if (limits || f.value !== stack[i][name]) f.set(stack[i][name], limits ?? {}); // a set takes the note away
      }
      l.was = stack[i].op;
      say(l.size, row ? (row.error ? "error" : String(row.size)) : "–");
      patch(l.size, { class: row?.error ? "rx-up" : null });
      say(l.field, row && !row.error ? `${below.field} + ${reach(stack[i]) - 1}·${below.jump} = ${row.field}` : "–");
    });
    const bad = rows.at(-1).error;
    error.hidden = !bad;
    if (bad) error.replaceChildren(h("strong", {}, `PyTorch, in layer ${rows.length - 1}: `), `RuntimeError: ${bad}`);
    const good = rows.filter((row) => !row.error);
    const top = good.at(-1);
    const at = clamp(index < 0 ? Math.floor((top.size - 1) / 2) : index, top.size - 1);
    if (at !== which.value || most !== top.size - 1) which.set(at, { max: (most = top.size - 1) });
    const used = stack.slice(0, good.length - 1);
    const levels = seen(at, used, good.map((row) => row.size));
    picture(good, levels, stack);
    const [pixels, whole] = [levels[0].length, top.field];
    const [low, high] = [levels[0][0], levels[0].at(-1)];
    const border = Math.max(0, whole - (high - low + 1));
    const text = used.length === 0 ? "" : pixels === 0 ? `Output ${at} sees nothing but padding.`
      : `After layer ${used.length}, output ${at} sees ${plural(pixels, "pixel")} along each side: ${listed(levels[0])}.`
        + (pixels < high - low + 1 ? ` It skips ${high - low + 1 - pixels} in between.` : "")
        + (border ? ` Its field is ${whole} wide; ${border} of it lie in the padding.` : "");
    say(view, text);
    say(last, bad ? "" : `A map of ${top.size} × ${top.size} is left. With c channels, flattened, it is Linear(c * ${top.size} * ${top.size}, …). Neighbouring values stand for places ${plural(top.jump, "pixel")} apart.`);
    if (document.activeElement !== which.node.querySelector("input")) voice.say(text);
  }

  /** Each level as a bar of cells under the pixels that it stands for, what is seen lit, rays from level to level. */
  function picture(rows, levels, stack) {
    const left = Math.min(...rows.map((row) => row.start - (row.jump - 1) / 2));
    const right = Math.max(...rows.map((row) => row.start + (row.size - 1) * row.jump + (row.jump + 1) / 2));
    const at = (row, i) => row.start + i * row.jump - (row.jump - 1) / 2;
    names.replaceChildren(...rows.map((row, i) => h("li", {}, i ? `${i}: ${stack[i - 1].op} ${stack[i - 1].kernel}×${stack[i - 1].kernel}` : "image", h("span", { class: "rx-unit" }, ` → ${row.size}`.slice(i ? 0 : 2)))));
    const nodes = [];
    rows.forEach((row, i) => {
      const y = i * 40;
      const lit = runs(levels[i]);
      if (i && lit.length && levels[i - 1].length) {
        const [a, b] = [at(row, lit[0][0]), at(row, lit.at(-1)[1] + 1)];
        const [c, d] = [at(rows[i - 1], levels[i - 1][0]), at(rows[i - 1], levels[i - 1].at(-1) + 1)];
        nodes.push(svg("path", { d: `M${c} ${y - 20}H${d}L${b} ${y}H${a}z`, fill: INK.window, "fill-opacity": ".15" }));
      }
      nodes.push(svg("path", { d: square(at(row, 0), y, row.size * row.jump, 20), fill: "var(--rx-soft)", stroke: INK.strong }));
      const color = i === rows.length - 1 ? INK.cell : INK.window;
      nodes.push(svg("path", { d: lit.map(([a, b]) => square(at(row, a), y, (b - a + 1) * row.jump, 20)).join("") || null, fill: color, "fill-opacity": i === rows.length - 1 ? 1 : 0.6 }));
      if (row.size <= MOST_LINES) nodes.push(svg("path", { d: Array.from({ length: row.size - 1 }, (_, k) => `M${at(row, k + 1)} ${y}v20`).join("") || null, stroke: INK.strong, "stroke-opacity": ".5" }));
    });
    const height = rows.length * 40 - 20;
    patch(drawing, {
      viewBox: `${left} 0 ${right - left} ${height}`, height,
      "aria-label": `What one output sees, level by level: ${levels.map((l) => l.length).join(", ")} of ${rows.map((row) => row.size).join(", ")} cells, from the image on`,
    });
    drawing.replaceChildren(...nodes);
  }

  const id = uid("h");
  const node = h("div", { class: "rx-cv-stack", role: "group", "aria-labelledby": id },
    h("div", { class: "rx-title", id }, "How the receptive field grows through a stack"),
    h("div", { class: "rx-controls" }, preset.node, image.node, which.node),
    holder, h("div", { class: "rx-cv-bar" }, more), error, cone, view, last);
  return { node, draw, onask: (f) => (ask = f) };
}

function render({ model, el }) {
  addStyle(el, "convolution", STYLE);
  const voice = announcer();
  const change = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const parts = [windowPart(model, voice, change), stackPart(model, voice, change)];
  const asks = parts.map((part) => onFrame(part.draw));
  parts[1].onask(asks[1]);
  const own = { size: 0, kernel: 0, stride: 0, padding: 0, dilation: 0, cell: 0, image: 1, layers: 1 };
  for (const [name, i] of Object.entries(own)) model.on(`change:${name}`, asks[i]);
  el.append(frame("Convolution explorer", h("div", { class: "rx-cv" }, parts.map((part) => part.node)), voice.node));
  parts.forEach((part) => part.draw());
  return () => {
    for (const [name, i] of Object.entries(own)) model.off(`change:${name}`, asks[i]);
    asks.forEach((ask) => ask.cancel());
    parts[0].stop();
    voice.stop();
  };
}

export default { render };
