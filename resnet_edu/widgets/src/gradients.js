// What a plain and a residual net do with depth: the gradient at each layer, and blocks that do nothing, put into a
// trained net.
//
// Traits: data (see resnet_edu/widgets/gradients.py), view ("gradients" or "identity"), depth, kind, batch_norm, step
// of the first view, net and added of the second.
import { addChartStyle, axes, drawing, drawnLine, endLabels, labelRoom, listen, liveTable, named, put, size } from "./lib/chart.js";
import { decades, finite, line, number, percent } from "./lib/plot.js";
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
  const { nets, steps, seeds, dataset, note } = model.get("data").gradients;
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
    parts: [chart],
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
    },
  };
}

/** What has changed between the net itself and point `p` of its record, in words. */
function same(p, record) {
  if (p.change === 0) return "not one output has changed";
  const shift = finite(p.train_loss) ? Math.abs(p.train_loss - record.points[0].train_loss) : null;
  return `no output has changed by more than ${number(p.change, 2)} (the largest is ${number(record.logit, 2)}), the training loss by ${number(shift, 2)}`;
}

const COLUMNS = [
  ["layers", (p) => thousands(p.depth)],
  ["training loss", (p) => number(p.train_loss, 4)],
  ["training error", (p) => percent(p.train_error)],
  ["test error", (p) => percent(p.test_error)],
  ["parameters", (p) => thousands(p.parameters)],
];

function identityView(model, radio, set) {
  const records = model.get("data").identity;
  const record = () => records.find((r) => r.net === model.get("net"));
  const point = () => record().points.find((p) => p.added === model.get("added")) ?? record().points[0];
  const net = radio("Trained network", "net", records.map((r) => [r.net, r.net]), { added: 0 });
  const added = listSlider("Identity blocks added to each stage", (v) => set({ added: v }));
  const story = h("p", { class: "rx-story", role: "status" });
  const values = liveTable("The network before and after");

  /** The net as a row of blocks in three stages; those that were put in are outlined. */
  const strip = drawing("The blocks of the network", (root, width) => {
    const { blocks, points, color } = record();
    const [own, more, gap] = [blocks / 3, point().added, 10];
    const side = Math.min(30, (width - 2 * gap) / (3 * (own + Math.max(...points.map((p) => p.added)))));
    root.replaceChildren(...[0, 1, 2].flatMap((stage) => Array.from({ length: own + more }, (_, k) =>
      svg("rect", {
        x: stage * ((own + more) * side + gap) + k * side + 1.5, y: 6, width: Math.max(2, side - 3), height: 34, rx: 2,
        class: k < own ? null : "rx-new", fill: color, stroke: color,
      }))));
    size(root, width, 46);
  });

  return {
    parts: [strip],
    node: h("div", {}, h("div", { class: "rx-row rx-choices" }, net.node, added.node), strip.node, story, values.node),
    draw() {
      const [r, p] = [record(), point()];
      added.set(p.added, r.points.map((q) => q.added));
      const rival = p.added ? r.trained.find((t) => t.depth === p.depth) : null;
      const rows = [
        [`${r.net}, trained`, r.points[0]],
        p.added && ["with identity blocks", p],
        rival && [`${rival.net}, trained from scratch${rival.runs > 1 ? ` (mean of ${rival.runs})` : ""}`, rival],
      ].filter(Boolean).map(([name, of]) => [name, ...COLUMNS.map(([, read]) => read(of))]);
      values.fill({ caption: `On ${r.dataset}, in evaluation mode`, columns: numbers(["network", ...COLUMNS.map(([title]) => title)]), rows });
      const told = rival
        ? ` So a network of ${p.depth} layers with this training loss exists. Training ${rival.net} from scratch ended at ${number(rival.train_loss, 2)}.`
        : "";
      say(story, p.added
        ? `${p.depth} layers, and ${same(p, r)}.${told}`
        : "Move the slider: each stage gets blocks that pass on exactly what they are given.");
      strip.root.setAttribute("aria-label", `${r.blocks} trained blocks in three stages, and ${p.added} at the end of each that do nothing`);
    },
  };
}

function render({ model, el }) {
  addChartStyle(el, "gradients", STYLE);
  const set = (change) => put(model, change);
  const radios = [];
  const radio = (label, trait, options, also = {}) => {
    const field = radioField({ label, options, value: model.get(trait), onchange: (v) => set({ ...also, [trait]: v }) });
    radios.push(() => field.set(model.get(trait)));
    return field;
  };
  const view = radio("Look at", "view", [["gradients", "the gradient at each layer"], ["identity", "blocks that do nothing"]]);
  const views = { gradients: gradientView(model, radio, set), identity: identityView(model, radio, set) };
  const parts = Object.values(views).flatMap((v) => v.parts);
  el.append(frame("Gradient explorer", view.node, views.gradients.node, views.identity.node));
  function draw() {
    radios.forEach((follow) => follow());
    for (const [name, part] of Object.entries(views)) {
      part.node.hidden = name !== model.get("view");
      part.draw();
    }
    parts.forEach((part) => part.draw());
  }
  draw();
  const soon = onFrame(draw);
  const ends = [listen(model, "view depth kind batch_norm step net added", soon), soon.cancel, ...parts.map((part) => part.stop)];
  return () => ends.forEach((end) => end());
}

export default { render };
