// What a plain and a residual net do with depth: the gradient at each layer.
//
// Traits: data (see resnet_edu/widgets/gradients.py), depth, kind, batch_norm, step.
import { addChartStyle, axes, drawing, drawnLine, endLabels, labelRoom, listen, liveTable, named, put } from "./lib/chart.js";
import { decades, finite, line, number } from "./lib/plot.js";
import { frame, h, onFrame, radioField, say, svg, thousands, uid } from "./lib/ui.js";
import STYLE from "./gradients.css";

/** A slider over the items of a list: { node, set(item, list) }. */
function listSlider(label, onchange) {
  const id = uid("l");
  const range = h("input", { class: "rx-range", type: "range", id, min: 0, step: 1, oninput: () => onchange(items[range.value]) });
  const output = h("output", { for: id });
  let items = [];
  return {
    node: h("div", { class: "rx-field" }, h("label", { for: id }, label), h("div", { class: "rx-pair" }, range, output)),
    set(item, list) {
      items = list;
      range.max = items.length - 1;
      range.value = items.indexOf(item);
      say(output, String(item));
      range.setAttribute("aria-valuetext", String(item));
    },
  };
}

const numbers = (titles) => titles.map((title, i) => [title, i ? "number" : ""]);
const moment = (step) => (step ? `after ${thousands(step)} step${step > 1 ? "s" : ""}` : "before training");

/** In words, how the first convolution's gradient compares with the last one's; `at` is the moment's place. */
function compare(net, at, step, seeds) {
  const gone = net.diverged.filter((d) => d !== null && d <= step).length;
  if (gone === seeds) return `${net.net} has diverged: its loss is no longer a number.`;
  const ratio = net.first[at] / net.last[at];
  const size = !net.first[at] ? "0, beside" : ratio > 2 ? `${number(ratio)} times as large as` : ratio < 0.5 ? `${number(1 / ratio)} times smaller than` : "about as large as";
  return `${net.net}: the first convolution's gradient is ${size} the last one's${gone ? ` (${gone} of ${seeds} runs have diverged)` : ""}.`;
}

function gradientView(model, radio, set) {
  const { nets, steps, seeds, dataset, note } = model.get("data");
  const depths = [...new Set(nets.map((net) => net.depth))].sort((a, b) => a - b);
  const chosen = () => nets.filter((net) => net.batch_norm === model.get("batch_norm") && net.depth === model.get("depth")
    && ["both", net.kind].includes(model.get("kind")));
  const at = () => steps.indexOf(model.get("step"));

  const depth = listSlider("Layers of the network", (v) => set({ depth: v }));
  const radios = [
    radio("Network", "kind", [["plain", "plain"], ["resnet", "residual"], ["both", "both"]]),
    radio("Batch normalisation", "batch_norm", [[true, "with"], [false, "without"]]),
    radio("Moment", "step", steps.map((step) => [step, moment(step)])),
  ];
  const story = h("p", { class: "rx-story", role: "status" });
  const values = liveTable("Gradients of the first and the last convolution");
  const chart = drawing("Norm of the gradient", (root, width) => {
    const plot = axes(root, {
      width, right: labelRoom(nets), height: Math.round(Math.min(360, Math.max(250, width * 0.5))),
      x: { domain: [1, model.get("depth") - 1], title: "convolution, counted from the image", whole: true },
      // All moments on one axis: what moves with them is the curve, not the scale.
      y: { kind: "log", domain: decades(chosen().flatMap((net) => net.norms.flat())), title: "norm of the gradient" },
    });
    const known = chosen().filter((net) => net.norms[at()].some(finite));
    const place = (v) => (finite(v) ? plot.sy(v) : null);
    plot.layer.append(
      ...known.map((net) => svg("path", { d: line(net.norms[at()].map((v, i) => [plot.sx(i + 1), place(v)])), ...drawnLine(net) })),
      ...chosen().filter((net) => !known.includes(net)).map((net, i) =>
        svg("text", { x: plot.right - 8, y: plot.top + 20 + 18 * i, "text-anchor": "end" }, `${net.net} has diverged`)),
      svg("g", {}, endLabels(plot, known, known.map((net) => place([...net.norms[at()]].reverse().find(finite))))));
  });

  return {
    stop: chart.stop,
    node: h("div", {}, h("div", { class: "rx-row rx-choices" }, depth.node, radios.map((r) => r.node)), chart.node, story, values.node,
      h("p", { class: "rx-hint" }, note)),
    draw() {
      depth.set(model.get("depth"), depths);
      const rows = chosen().map((net) => {
        const [first, last] = [net.first[at()], net.last[at()]];
        if (first === null) return [named(net), "diverged", "–", "–", "–"];
        return [named(net), number(first), number(last), last ? number(first / last) : "–", number(net.loss[at()])];
      });
      const caption = `${moment(model.get("step"))}, on ${dataset}, median of ${seeds} seeds`;
      values.fill({ caption, columns: numbers(["network", "first convolution", "last convolution", "first / last", "loss"]), rows });
      say(story, chosen().map((net) => compare(net, at(), model.get("step"), seeds)).join(" "));
      chart.root.setAttribute("aria-label", `Norm of the gradient by convolution, ${moment(model.get("step"))}. ${story.textContent}`);
      chart.draw();
    },
  };
}

function render({ model, el }) {
  addChartStyle(el, "gradients", STYLE);
  const set = (change) => put(model, change);
  const radios = [];
  const radio = (label, trait, options) => {
    const field = radioField({ label, options, value: model.get(trait), onchange: (v) => set({ [trait]: v }) });
    radios.push(() => field.set(model.get(trait)));
    return field;
  };
  const view = gradientView(model, radio, set);
  el.append(frame("Gradient explorer", view.node));
  function draw() {
    radios.forEach((follow) => follow());
    view.draw();
  }
  draw();
  const soon = onFrame(draw);
  const ends = [listen(model, "depth kind batch_norm step", soon), soon.cancel, view.stop];
  return () => ends.forEach((end) => end());
}

export default { render };
