// The study player: predict, then see the curves of a study; scrub through its steps and read values.
//
// Traits: study (see resnet_edu/widgets/study.py: nets with a value for each run and step, marks), nets (names that
// are shown), rate (of study.rates, if there are several learning rates), metric, scale, step, prediction (the reader's
// ranking, lowest first) and shown (whether the curves are).
import { addChartStyle, axes, drawing, drawnLine, endLabels, labelRoom, listen, liveTable, named, put } from "./lib/chart.js";
import { area, finite, line, meanRange, nearest, percent } from "./lib/plot.js";
import { ranking, sketchPad, verdict } from "./lib/predict.js";
import { announcer, button, checkField, frame, h, onFrame, patch, player, radioField, say, svg, thousands, uid } from "./lib/ui.js";
import STYLE from "./study.css";

const METRICS = ["train_error", "test_error"];
const PLAY = 6000; // ms for a whole run

const lastOf = (list) => list[list.length - 1];

/** The nets of a study, each with the mean and the range over its runs for both metrics. */
const summarise = (nets) => nets.map((net) => {
  const [train_error, test_error] = METRICS.map((m) => ({ ...meanRange(net[m]), runs: net[m].length }));
  return { ...net, train_error, test_error };
});

function render({ model, el }) {
  addChartStyle(el, "study", STYLE);
  const study = model.get("study");
  const words = { train_error: "training", test_error: study.unseen };
  const rates = (study.rates ?? [{ rate: null, nets: study.nets }]).map(({ rate, nets }) => [rate, summarise(nets)]);
  let nets = rates[0][1];
  const names = nets.map((net) => net.net);
  const steps = [...new Set(nets.flatMap((net) => net.steps))].sort((a, b) => a - b);
  const last = lastOf(steps);
  const several = nets.some((net) => net.train_error.runs > 1);
  const asked = model.get("metric"); // the prediction is about this one, whatever the reader looks at later
  const id = uid("study");
  const voice = announcer();

  const metric = () => model.get("metric");
  const visible = () => nets.filter((net) => model.get("nets").includes(net.net));
  const marks = () => study.marks.filter((m) => m.metric === metric() && model.get("nets").includes(m.net));

  // ---- the prediction ----

  const rank = ranking(nets, voice.say);
  const pad = sketchPad(nets, last, `${words[asked]} error (%)`);
  const result = h("div", { class: "rx-result", tabindex: "-1", role: "group", "aria-label": "Your prediction and the result" });
  const unasked = model.get("shown") && !model.get("prediction").length; // the curves are there from the start
  const sketched = () => asked === metric() && pad.any();
  const turn = (prediction, shown) => {
    play.stop();
    put(model, { prediction, shown });
    draw();
    if (shown) (result.hidden ? slider : result).focus();
    else rank.focus();
  };
  const predict = h("div", {},
    h("p", {}, h("strong", {}, "Predict first. "),
      `Order the networks by their ${words[asked]} error after ${thousands(last)} steps, the lowest at the top.`),
    h("div", { class: "rx-predict" }, rank.node, pad.node),
    h("div", { class: "rx-row" },
      button("Commit and show the curves", () => turn(rank.order(), true)),
      button("Show me now", () => turn([], true), { class: "rx-button rx-quiet" })));

  function drawResult() {
    const mine = model.get("prediction");
    result.hidden = !mine.length;
    if (result.hidden) return;
    const finals = Object.fromEntries(nets.map((net) => {
      const { mean, low, high, runs } = net[asked];
      return [net.net, { mean: lastOf(mean), low: lastOf(low), high: lastOf(high), runs }];
    }));
    result.replaceChildren(...verdict(mine, nets, finals));
  }

  // ---- the controls ----

  const boxes = nets.map((net) => checkField({
    label: named(net),
    value: true,
    onchange() {
      const on = names.filter((_, i) => boxes[i].value);
      if (on.length) return put(model, { nets: on });
      boxes[names.indexOf(net.net)].set(true);
      voice.say("One network has to stay.");
    },
  }));
  const radio = (label, trait, options) => radioField({ label, options, value: model.get(trait), onchange: (v) => put(model, { [trait]: v }) });
  const metrics = radio("Error on", "metric", METRICS.map((m) => [m, `${words[m]} images`]));
  const rateField = study.rates && radio("Learning rate", "rate", rates.map(([rate]) => [rate, String(rate)]));
  const scales = radio("Scale", "scale", [["linear", "linear"], ["log", "logarithmic"]]);
  const slider = h("input", {
    class: "rx-range", type: "range", id, min: 0, max: steps.length - 1, step: 1,
    oninput() {
      play.stop();
      put(model, { step: steps[slider.value] });
    },
  });
  const reading = h("output", { for: id });
  const play = player({
    what: "evaluation",
    delay: Math.min(400, PLAY / steps.length),
    onstep(by) {
      const i = (nearest(steps, model.get("step")) + by + steps.length) % steps.length; // from the last on to the first
      put(model, { step: steps[i] });
      return i < steps.length - 1;
    },
  });

  // ---- the chart ----

  function yAxis() {
    const title = `${words[metric()]} error (%)`;
    if (model.get("scale") === "log") {
      // The least error above none is one image; zero is drawn at the decade below it.
      return { kind: "log", domain: [10 ** Math.floor(Math.log10(study.image[metric()] / 2)), 100], title, zero: true };
    }
    if (sketched()) return { domain: [0, 100], title }; // as on the pad, so that all of the sketch is seen
    const values = [...rates.flatMap(([, found]) => found).flatMap((net) => net[metric()].high), ...marks().map((m) => m.value)];
    return { domain: [0, Math.min(100, 1.06 * Math.max(1, ...values.filter(finite)))], title };
  }

  let plot = null;
  const chart = drawing("", (root, width) => {
    const drawn = visible();
    const height = Math.round(Math.min(390, Math.max(260, width * 0.52)));
    const x = { domain: [0, last], title: "training steps", whole: true, format: thousands };
    plot = axes(root, { width, height, right: labelRoom(nets), x, y: yAxis() });
    const { sx, sy, layer } = plot;
    const place = (values) => values.map((v) => (finite(v) ? sy(v) : null));
    const strokes = () => drawn.map((net) => {
      const ys = place(net[metric()].mean);
      return svg("path", { d: line(net.steps.map((s, i) => [sx(s), ys[i]])), ...drawnLine(net) });
    });
    const bands = drawn.filter((net) => net[metric()].runs > 1).map((net) => {
      const { low, high } = net[metric()];
      return svg("path", { class: "rx-band", fill: net.color, d: area(net.steps.map(sx), place(low), place(high)) });
    });
    const diamonds = marks().map((m) => svg("path", {
      class: "rx-mark", d: `M${plot.right} ${sy(m.value) - 6}l6 6l-6 6l-6 -6Z`, fill: nets[names.indexOf(m.net)].color,
    }));
    plot.clip = svg("rect", { x: 0, y: 0, height });
    plot.cursor = svg("path", { class: "rx-cursor" });
    plot.dots = drawn.map((net) => svg("circle", { r: 4.5, fill: net.color, class: "rx-now" }));
    const ends = drawn.map((net) => sy(lastOf(net[metric()].mean.filter(finite)) ?? 0));
    layer.append(
      svg("clipPath", { id: `${id}-c` }, plot.clip),
      svg("g", { class: "rx-later" }, strokes()), // what is still to come stands there faintly
      svg("g", { "clip-path": `url(#${id}-c)` }, bands, strokes()),
      svg("g", {}, sketched() && pad.paths(plot), plot.cursor, diamonds, plot.dots, endLabels(plot, drawn, ends)));
    drawCursor();
  });

  function drawCursor() {
    if (!plot) return;
    const x = plot.sx(model.get("step"));
    patch(plot.clip, { width: x });
    patch(plot.cursor, { d: `M${x} ${plot.top}V${plot.bottom}` });
    visible().forEach((net, k) => {
      const i = nearest(net.steps, model.get("step"));
      const value = net[metric()].mean[i];
      patch(plot.dots[k], { cx: plot.sx(net.steps[i]), cy: plot.sy(value ?? 0), visibility: finite(value) ? "visible" : "hidden" });
    });
  }

  function scrub(event) {
    if (event.type === "pointermove" && event.pointerType !== "mouse" && !event.buttons) return;
    const share = (event.clientX - chart.root.getBoundingClientRect().left - plot.left) / (plot.right - plot.left);
    play.stop();
    put(model, { step: steps[nearest(steps, share * last)] });
  }
  chart.root.addEventListener("pointerdown", scrub);
  chart.root.addEventListener("pointermove", scrub);

  // ---- the values ----

  const values = liveTable("Values at this step");
  function drawValues() {
    const step = model.get("step");
    const paper = marks();
    const said = [];
    const rows = visible().map((net) => {
      const [{ mean, low, high }, i] = [net[metric()], nearest(net.steps, step)];
      said.push(`${net.net} ${percent(mean[i])}`);
      const range = finite(low[i]) ? `${low[i].toFixed(2)} to ${high[i].toFixed(2)}` : "–";
      return [named(net), percent(mean[i]), several && range, paper.length && (paper.find((m) => m.net === net.net)?.text ?? "–")].filter(Boolean);
    });
    const titles = ["network", several ? "mean" : "error", several && "range", paper[0]?.label];
    values.fill({
      caption: `${words[metric()]} error after ${thousands(step)} of ${thousands(last)} steps`,
      columns: titles.filter(Boolean).map((title, i) => [title, i ? "number" : ""]),
      rows,
    });
    const epoch = step / study.epoch;
    say(reading, thousands(step) + (study.epoch ? ` (epoch ${epoch.toFixed(epoch < 10 ? 1 : 0)})` : ""));
    slider.value = nearest(steps, step);
    slider.setAttribute("aria-valuetext", `step ${thousands(step)}: ${said.join(", ")}`);
  }

  // ---- together ----

  const note = h("p", { class: "rx-hint" });
  const curves = h("div", {},
    result,
    h("div", { class: "rx-row rx-choices" },
      h("fieldset", { class: "rx-field" }, h("legend", {}, "Networks"), h("div", { class: "rx-radios" }, boxes.map((b) => b.node))),
      rateField?.node, metrics.node, scales.node),
    chart.node,
    h("div", { class: "rx-row rx-scrub" }, play.node, h("div", {}, h("label", { for: id }, "Step"), " ", reading), slider),
    values.node,
    note,
    button(unasked ? "Predict it yourself" : "Predict again", () => turn([], false), { class: "rx-button rx-quiet" }));
  el.append(frame("Study player", predict, curves, voice.node));

  function draw() {
    nets = rates.find(([rate]) => rate === model.get("rate"))[1];
    rateField?.set(model.get("rate"));
    predict.hidden = model.get("shown");
    curves.hidden = !predict.hidden;
    boxes.forEach((box, i) => box.set(model.get("nets").includes(names[i])));
    metrics.set(metric());
    scales.set(model.get("scale"));
    drawResult();
    drawValues();
    say(note, study.note + (sketched() ? " Dotted: your sketch." : ""));
    const told = visible().map((net) => `${net.net} from ${percent(net[metric()].mean[0])} to ${percent(lastOf(net[metric()].mean))}`);
    chart.root.setAttribute("aria-label", `${words[metric()]} error over ${thousands(last)} training steps on ${study.dataset}${study.rates ? ` at learning rate ${model.get("rate")}` : ""}: ${told.join("; ")}`);
    chart.draw();
    pad.view.draw();
  }
  draw();
  const soon = onFrame(draw);
  const cursorSoon = onFrame(() => {
    drawCursor();
    drawValues();
  });
  const ends = [
    listen(model, "nets rate metric scale prediction shown", soon), listen(model, "step", cursorSoon),
    soon.cancel, cursorSoon.cancel, play.stop, voice.stop, chart.stop, pad.view.stop,
  ];
  return () => ends.forEach((end) => end());
}

export default { render };
