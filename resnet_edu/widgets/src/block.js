// The block explorer: one residual block with each of the shortcuts, and what breaks without one or with a ReLU before
// the addition.
//
// Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5, section 3.3.
import { SHORTCUTS, compare } from "./lib/block_math.js";
import { addStyle } from "./lib/style.js";
import { announcer, frame, h, numberField, onFrame, patch, radioField, say, svg, table, thousands, uid } from "./lib/ui.js";

const NAMES = {
  none: "none (plain block)",
  identity: "identity",
  zero_pad: "A: zero padding",
  projection: "B: projection if needed",
  projection_all: "C: projection always",
};
const VARIANTS = { after: "ReLU after the addition", before: "ReLU before it, too", none: "no shortcut" };
const FIELDS = {
  in_channels: ["Channels in", 1, 2048],
  out_channels: ["Channels out", 1, 2048],
  size: ["Height, width", 1, 512],
  stride: ["Stride", 1, 8],
};

const STYLE = `
.rx-bk-view{display:flex;flex-wrap:wrap;gap:.8rem 1.4rem;align-items:flex-start}
.rx-bk .rx-controls{grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr))}
.rx-bk-view>svg{flex:0 1 350px;min-width:0;height:auto}
.rx-bk-view>div{flex:1 1 15rem;min-width:0}
.rx-bk-view .rx-radios{flex-direction:column;align-items:flex-start;margin-bottom:.8rem}
.rx .rx-bk tr[aria-current] :is(th,td){background:var(--rx-accent-soft);font-weight:600}
.rx-bk-measured{margin-top:1.2rem;padding-top:.9rem;border-top:1px solid var(--rx-line)}
.rx-bk-bars{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,12.5rem),1fr));gap:.8rem 1.4rem}
.rx .rx-bk-bars figure{margin:0}
.rx .rx-bk-bars figcaption{margin:0;color:var(--rx-ink);font-size:.84rem;line-height:1.45}`;

const INK = "var(--rx-ink)";
const written = (shape) => shape.join("×");
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const text = (x, y, words, more = {}) => svg("text", { x, y, "font-size": 13, "text-anchor": "middle", ...more }, words);
const path = (d, color, width = 1.5, more = {}) => svg("path", { d, fill: "none", stroke: color, "stroke-width": width, ...more });
const head = (x, y, corners, color) => svg("path", { d: `M${x} ${y}${corners}z`, fill: color });

const LABELS = { norm: "batch norm", relu: "ReLU", pad: "zero padding" };
const label = ({ op, kernel, stride, shape }) =>
  LABELS[op] ?? `${kernel}×${kernel} conv, ${shape[0]}${stride > 1 ? `, stride ${stride}` : ""}`;

/** The block as a drawing: the main path down the left, the shortcut around it, shapes along the arrows. */
function diagram(now, bad) {
  const [main, lane, wide, high, gap] = [88, 262, 168, 28, 24];
  const plain = now.shortcut === "none";
  const color = bad ? "var(--rx-bad)" : "var(--rx-accent)";
  const nodes = [text(main, 14, `x: ${written(now.input)}`)];
  const small = (x, y, words) => nodes.push(text(x, y, words, { "text-anchor": "start", "font-size": 12 }));
  const box = (x, y, words, ink) =>
    nodes.push(svg("rect", { x: x - wide / 2, y, width: wide, height: high, rx: 5, fill: "var(--rx-paper)", stroke: ink, "stroke-width": 1.5 }), text(x, y + 19, words));
  let y = 20;
  const arrow = (shape) => {
    nodes.push(path(`M${main} ${y}v${gap - 5}`, INK), head(main, y + gap, "l-4 -8h8", INK));
    if (shape) small(main + 9, y + 16, written(shape));
    y += gap;
  };
  const begin = y + 7;
  now.main.forEach((layer, i) => {
    arrow(now.main[i - 1]?.op === "conv" && layer.shape);
    box(main, y, label(layer), INK);
    y += high;
  });
  arrow(now.mainShape);
  if (!plain) {
    const [end, sign] = [y + 13, bad ? color : "var(--rx-add)"];
    const middle = (begin + end) / 2;
    nodes.push(path(`M${main} ${begin}H${lane}V${end}H${main + 15}`, color, 2.5, { "stroke-dasharray": bad && "5 4" }),
      head(main + 13, end, "l8 -4v8", color), svg("circle", { cx: main, cy: begin, r: 3.5, fill: color }),
      svg("circle", { cx: main, cy: end, r: 13, fill: "var(--rx-paper)", stroke: sign, "stroke-width": 2.5 }),
      path(bad ? `M${main - 5} ${end - 5}l10 10m0-10l-10 10` : `M${main - 6} ${end}h12m-6-6v12`, sign, 2.5));
    now.lane.forEach((layer, i) => box(lane, middle + (i - (now.lane.length - 1) / 2) * 52 - high / 2, label(layer), color));
    if (now.laneShape) small(lane - 88, end - 8, written(now.laneShape));
    if (!now.lane.length) small(lane + 9, middle, now.laneShape ? "identity" : "?");
    y = end + 13;
    arrow(!bad && now.shape);
  }
  box(main, y, "ReLU", INK);
  y += high;
  arrow();
  nodes.push(text(main, y + 14, now.error ? "no output" : written(now.shape)));
  const brings = plain ? "; nothing is added" : now.laneShape ? `, the shortcut ${written(now.laneShape)}` : "";
  return { nodes, viewBox: `0 0 350 ${y + 22}`, alt: `Block with shortcut ${NAMES[now.shortcut]}: the main path brings ${written(now.mainShape)}${brings}` };
}

/** One histogram of what arrives at the addition; `most` is the tallest bar of all, zeros left out. */
function histogram(record, one, most) {
  const [wide, high, edges] = [240, 96, record.edges];
  const [low, span] = [edges[0], edges.at(-1) - edges[0]];
  const x = (v) => ((v - low) / span) * wide;
  const bar = (a, b, count, color) => svg("rect", {
    x: x(a) + 0.5, width: x(b) - x(a) - 1, y: high - Math.min(1, count / most) * (high - 18), height: Math.min(1, count / most) * (high - 18), fill: color,
  });
  const bars = one.counts.map((count, i) => bar(edges[i], edges[i + 1], count, edges[i] < 0 ? "var(--rx-add)" : "var(--rx-accent)"));
  const zeros = one.zeros ? [bar(-0.06, 0.06, one.zeros, INK), text(x(0) - 8, 14, `${percent(one.zeros / one.values)} are 0`, { "text-anchor": "end", "font-size": 12 })] : [];
  const lowered = one.variant === "none" ? "" : `, so the block lowers ${percent(one.lowered)} of its input's values`;
  return h("figure", {},
    h("strong", {}, VARIANTS[one.variant]),
    svg("svg", { viewBox: `0 0 ${wide} ${high + 18}`, role: "img", "aria-label": `Histogram of the branch, ${VARIANTS[one.variant]}: ${percent(one.negative)} of the values are negative` },
      bars, zeros, path(`M0 ${high}H${wide}M${x(0)} ${high}v4`, INK, 1),
      [low, 0, edges.at(-1)].map((v, i) => text(x(v), high + 15, String(v).replace("-", "−"), { "font-size": 12, "text-anchor": ["start", "middle", "end"][i] }))),
    h("figcaption", {}, h("strong", {}, percent(one.negative)), ` of the branch is negative${lowered}. Output and input correlate by ${one.correlation.toFixed(2)}. Test error: ${one.test_error.toFixed(1)}%.`));
}

function measured(record) {
  if (!record.measured) return null;
  const most = Math.max(...record.measured.flatMap((one) => one.counts));
  const id = uid("h");
  return h("div", { class: "rx-bk-measured", role: "group", "aria-labelledby": id },
    h("div", { class: "rx-title", id }, "What the branch hands to the addition, measured"),
    h("p", {}, `Three nets of ${record.depth} layers from the same initial weights, ${record.steps} steps on the ${record.dataset}; the values of ${record.block}'s branch for ${record.images} test images.`),
    h("div", { class: "rx-bk-bars" }, record.measured.map((one) => histogram(record, one, most))),
    h("p", {}, "With a ReLU before the addition the branch can only add. Without a shortcut the output has little to do with the input. The test errors of so small a task hardly tell the three apart; their activations do."));
}

function render({ model, el }) {
  addStyle(el, "block", STYLE);
  const voice = announcer();
  const change = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const kind = radioField({
    label: "Block", options: [["basic", "basic"], ["bottleneck", "bottleneck"]], value: model.get("block"),
    onchange: (value) => change({ block: value, ...(value === "bottleneck" && { out_channels: Math.max(4, Math.round(model.get("out_channels") / 4) * 4) }) }),
  });
  const fields = Object.entries(FIELDS).map(([name, [label, min, max]]) => [name, numberField({
    label, min, max, slider: false, value: model.get(name), onchange: (value) => change({ [name]: value }),
  })]);
  const shortcut = radioField({
    label: "Shortcut", options: SHORTCUTS.map((name) => [name, NAMES[name]]), value: model.get("shortcut"),
    onchange: (value) => change({ shortcut: value }),
  });
  let steps = 1; // of the channels out, as the field knows it
  const [drawing, box, holder, words] = [svg("svg", { role: "img" }), h("p", { class: "rx-error", role: "alert" }), h("div"), h("p")];

  function explain(now, all) {
    const free = all[0];
    if (now.shortcut === "none") return "Nothing is added, so every shape fits. But what its layers do not pass on is lost.";
    if (now.error) return now.shortcut === "zero_pad" ? "Zeros can be added to the channels, not taken away." : "The shortcut has to change the shape as the main path does: A or B.";
    if (now.broadcast) return "PyTorch repeats the smaller tensor and says nothing: the code runs and is wrong. add_shortcut of this package raises an error.";
    const extra = now.params - free.params;
    if (extra) return `The projection has ${thousands(extra)} of the ${thousands(now.params)} parameters, and costs ${percent(now.macs / free.macs - 1)} more multiply-adds than the layers alone.`;
    return now.lane.length ? "The zero padding costs nothing: no parameters, no multiply-adds." : "The shapes are equal, so the input itself is added: no parameters, no multiply-adds.";
  }

  function draw() {
    const spec = { kind: model.get("block"), cin: model.get("in_channels"), cout: model.get("out_channels"), size: model.get("size"), stride: model.get("stride") };
    const step = spec.kind === "bottleneck" ? 4 : 1;
    for (const [name, field] of fields) {
      const limits = name === "out_channels" && step !== steps ? { min: step, step } : null;
      if (limits || field.value !== model.get(name)) field.set(model.get(name), limits ?? {});
    }
    steps = step;
    kind.set(spec.kind);
    shortcut.set(model.get("shortcut"));
    const all = compare(spec);
    const now = all.find((one) => one.shortcut === model.get("shortcut"));
    const bad = now.error || now.broadcast;
    const { nodes, viewBox, alt } = diagram(now, bad);
    patch(drawing, { viewBox, "aria-label": alt }).replaceChildren(...nodes);
    const trouble = now.broadcast ? `${written(now.mainShape)} + ${written(now.laneShape)} becomes ${written(now.shape)} by broadcasting` : now.error;
    const kindOfTrouble = now.broadcast ? "No error, but " : now.shortcut === "zero_pad" ? "ValueError: " : "RuntimeError: ";
    box.hidden = !bad;
    box.replaceChildren(h("strong", {}, kindOfTrouble), trouble ?? "");
    say(words, explain(now, all));
    const grown = (value, base) => (value === base ? thousands(value) : `${thousands(value)} (+${percent(value / base - 1)})`);
    const view = table({
      caption: "The same block with every shortcut; MACs are multiply-adds for one image",
      columns: [["shortcut", ""], ["it brings", ""], ["can be added", ""], ["parameters", "number"], ["MACs", "number"]],
      rows: all.map((one) => [NAMES[one.shortcut], one.laneShape ? written(one.laneShape) : "–",
        one.shortcut === "none" ? "–" : one.error ? "no" : one.broadcast ? "by broadcasting" : "yes",
        one.error ? "–" : grown(one.params, all[0].params), one.error ? "–" : grown(one.macs, all[0].macs)]),
    });
    view.querySelectorAll("tbody tr")[SHORTCUTS.indexOf(now.shortcut)].setAttribute("aria-current", "true");
    const left = holder.firstChild?.scrollLeft ?? 0;
    holder.replaceChildren(view);
    view.scrollLeft = left;
    voice.say(`${alt}. ${words.textContent}`);
  }

  const ask = onFrame(draw);
  const names = ["block", "shortcut", ...Object.keys(FIELDS)];
  for (const name of names) model.on(`change:${name}`, ask);
  el.append(frame("Block explorer",
    h("div", { class: "rx-bk" }, h("div", { class: "rx-controls" }, kind.node, fields.map(([, field]) => field.node)),
      h("div", { class: "rx-bk-view" }, drawing, h("div", {}, shortcut.node, box, words)), holder),
    measured(model.get("activations")), voice.node));
  draw();
  return () => {
    for (const name of names) model.off(`change:${name}`, ask);
    ask.cancel();
    voice.stop();
  };
}

export default { render };
