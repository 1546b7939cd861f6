// The block explorer: one residual block with each of the shortcuts, and what breaks without one or with a ReLU before
// the addition.
//
// Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5, section 3.3.
import { SHORTCUTS, add, compare } from "./lib/block_math.js";
import { blockView, style as blockStyle } from "./lib/blockview.js";
import { size as written } from "./lib/formula.js";
import { addStyle } from "./lib/style.js";
import { announcer, frame, h, numberField, onFrame, radioField, say, svg, table, thousands } from "./lib/ui.js";
import STYLE from "./block.css";

export { add, compare }; // for the tests

const NAMES = {
  none: "none (plain block)",
  identity: "identity",
  zero_pad: "A: zero padding",
  projection: "B: projection if needed",
  projection_all: "C: projection always",
};
const VARIANTS = { after: "ReLU after the addition", before: "ReLU before it, too", none: "no shortcut" };
const FIELDS = { // label and largest value; as block.py has them
  in_channels: ["Channels in", 2048], out_channels: ["Channels out", 2048], size: ["Height, width", 512], stride: ["Stride", 8],
};

const ink = (name) => `var(--rx-${name})`;
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const text = (x, y, words, size = 13, anchor = "middle") => svg("text", { x, y, "font-size": size, "text-anchor": anchor }, words);

/** One histogram of what arrives at the addition; `most` is the tallest bar of all, zeros left out. */
function histogram({ edges }, one, most) {
  const [wide, high, low] = [240, 96, edges[0]];
  const x = (v) => ((v - low) / (edges.at(-1) - low)) * wide;
  const bar = (from, to, count, color) => {
    const height = Math.min(1, count / most) * (high - 18);
    return svg("rect", { x: x(from) + 0.5, width: x(to) - x(from) - 1, y: high - height, height, fill: ink(color) });
  };
  const title = VARIANTS[one.variant];
  return h("figure", {}, h("strong", {}, title),
    svg("svg", { viewBox: `0 0 ${wide} ${high + 18}`, role: "img", "aria-label": `Histogram of the branch, ${title}: ${percent(one.negative)} are negative` },
      one.counts.map((count, i) => bar(edges[i], edges[i + 1], count, edges[i] < 0 ? "add" : "accent")),
      one.zeros > 0 && [bar(-0.06, 0.06, one.zeros, "ink"), text(x(0) - 8, 14, `${percent(one.zeros / one.values)} are 0`, 12, "end")],
      svg("path", { d: `M0 ${high}H${wide}M${x(0)} ${high}v4`, stroke: ink("ink") }),
      [low, 0, edges.at(-1)].map((v, i) => text(x(v), high + 15, String(v).replace("-", "−"), 12, ["start", "middle", "end"][i]))),
    h("figcaption", {}, h("strong", {}, percent(one.negative)), " of the branch is negative",
      one.variant !== "none" && `, so the block lowers ${percent(one.lowered)} of its input's values`,
      `. Output and input correlate by ${one.correlation.toFixed(2)}. Test error: ${one.test_error.toFixed(1)}%.`));
}

function measured(record) {
  const most = Math.max(...record.measured.flatMap((one) => one.counts));
  const title = "What the branch hands to the addition, measured";
  return h("details", { class: "rx-bk-measured" }, h("summary", { class: "rx-title" }, title),
    h("p", {}, `Three nets of ${record.depth} layers from the same initial weights, ${record.steps} steps on the ${record.dataset}; the values of ${record.block}'s branch for ${record.images} test images.`),
    h("div", { class: "rx-bk-bars" }, record.measured.map((one) => histogram(record, one, most))),
    h("p", {}, "With a ReLU before the addition the branch can only add. Without a shortcut the output has little to do with the input. So short a training does not say which of the first two is better."));
}

function explain(now, free) {
  if (now.shortcut === "none") return "Nothing is added, so every shape fits. But what its layers do not pass on is lost.";
  if (now.error) return now.shortcut === "zero_pad" ? "Zeros can be added to the channels, not taken away." : "The shortcut has to change the shape as the main path does: A (not to fewer channels), B or C.";
  if (now.broadcast) return "PyTorch repeats the smaller tensor and says nothing: the code runs and is wrong. add_shortcut of this package raises an error.";
  const extra = now.params - free.params;
  if (extra) return `The projection has ${thousands(extra)} of the ${thousands(now.params)} parameters, and costs ${percent(now.macs / free.macs - 1)} more multiply-adds than the layers alone.`;
  return `${now.shortcut === "zero_pad" && now.rows.some((row) => row.on_shortcut) ? "The zero padding costs nothing" : "The shapes are equal, so the input itself is added"}: no parameters, no multiply-adds.`;
}

const grown = (one, free, key) => one.error ? "–"
  : thousands(one[key]) + (one[key] > free[key] ? ` (+${percent(one[key] / free[key] - 1)})` : "");

function render({ model, el }) {
  addStyle(el, "block", [blockStyle, STYLE].join(""));
  const voice = announcer();
  const change = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const radios = (label, name, options, more) => radioField({
    label, options, value: model.get(name), onchange: (value) => change({ [name]: value, ...more?.(value) }),
  });
  const kind = radios("Block", "block", [["basic", "basic"], ["bottleneck", "bottleneck"]], (value) =>
    value === "bottleneck" && { out_channels: Math.max(4, Math.round(model.get("out_channels") / 4) * 4) });
  const shortcut = radios("Shortcut", "shortcut", SHORTCUTS.map((name) => [name, NAMES[name]]));
  const fields = Object.entries(FIELDS).map(([name, [label, max]]) => [name, numberField({
    label, min: 1, max, slider: false, value: model.get(name), onchange: (value) => change({ [name]: value }),
  })]);
  let steps = 1; // of the channels out, as the field knows it
  const [drawing, box] = [h("div", { class: "rx-bk-drawing" }), h("p", { class: "rx-error", role: "alert" })];
  const [holder, words] = [h("div"), h("p")];

  function draw() {
    const spec = { kind: model.get("block"), cin: model.get("in_channels"), cout: model.get("out_channels"), size: model.get("size"), stride: model.get("stride") };
    const step = spec.kind === "bottleneck" ? 4 : 1;
    for (const [name, field] of fields) {
      const limits = name === "out_channels" && step !== steps && { min: step, step };
      if (limits || field.value !== model.get(name)) field.set(model.get(name), limits || {}); // a set takes the note away
    }
    steps = step;
    kind.set(spec.kind);
    shortcut.set(model.get("shortcut"));
    const all = compare(spec);
    const now = all.find((one) => one.shortcut === model.get("shortcut"));
    const sum = now.lane && `${written(now.main)} + ${written(now.lane)}`;
    const wrong = now.error ?? (now.broadcast && { kind: "add", shapes: [now.lane], text: "The shapes differ.", brief: "shapes differ" });
    const title = `Block with shortcut ${NAMES[now.shortcut]}`;
    drawing.replaceChildren(blockView(now.rows, {
      title, error: wrong ? { ...wrong, type: wrong.kind === "add" ? "ShapeMismatchError" : wrong.type } : null,
    }));
    box.hidden = !wrong;
    box.replaceChildren(h("strong", {}, now.broadcast ? "No error, but " : `${now.error?.type}: `),
      now.broadcast ? `${sum} becomes ${written(now.shape)} by broadcasting` : now.error?.text ?? "");
    say(words, explain(now, all[0]));
    const view = table({
      caption: "The same block with every shortcut; MACs are multiply-adds for one image",
      columns: [["shortcut"], ["it brings"], ["can be added"], ["parameters", "number"], ["MACs", "number"]],
      rows: all.map((one) => [NAMES[one.shortcut], one.lane ? written(one.lane) : "–",
        one.shortcut === "none" ? "–" : one.error ? "no" : one.broadcast ? "by broadcasting" : "yes",
        grown(one, all[0], "params"), grown(one, all[0], "macs")]),
    });
    view.querySelectorAll("tbody tr")[all.indexOf(now)].setAttribute("aria-current", "true");
    const left = holder.firstChild?.scrollLeft;
    holder.replaceChildren(view);
    view.scrollLeft = left ?? 0;
    voice.say(`${title}: ${sum ? `${sum}. ` : ""}${words.textContent}`);
  }

  const ask = onFrame(draw);
  model.on("change", ask);
  const record = model.get("activations");
  el.append(frame("Block explorer",
    h("div", { class: "rx-bk" }, h("div", { class: "rx-controls" }, kind.node, fields.map(([, field]) => field.node)),
      h("div", { class: "rx-bk-view" }, drawing, h("div", {}, shortcut.node, box, words)), holder),
    record.measured && measured(record), voice.node));
  draw();
  return () => {
    model.off("change", ask);
    ask.cancel();
    voice.stop();
  };
}

export default { render };
