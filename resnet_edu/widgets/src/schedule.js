// The schedule explorer: the learning rate of each update, as a curve, and how many updates are made at which rate.
//
// Traits: shape ("steps", "cosine", "constant"), peak, steps, first and second (percent of steps), warmup, update.
//
// Sources: He et al. 2016, section 4.2 (steps); Loshchilov and Hutter 2017, equation 5 (cosine); Goyal et al. 2017,
// section 2.2 (warm-up).
import { addChartStyle, axes, drawing, listen, liveTable, put } from "./lib/chart.js";
import { line, number } from "./lib/plot.js";
import { frame, h, numberField, onFrame, radioField, say, svg, thousands } from "./lib/ui.js";
import STYLE from "./schedule.css";

const SHAPES = [["steps", "steps"], ["cosine", "cosine"], ["constant", "constant"]];
const PEAKS = [0.3, 0.1, 0.03, 0.01].map((rate) => [rate, String(rate)]);
const SHARES = [1 / 2, 1 / 10, 1 / 100]; // of the peak: where the table's rows end
const TRAITS = "shape peak steps first second warmup update";
const milestones = (s) => [s.first, s.second].map((share) => Math.floor((share * s.steps) / 100));

/** The learning rate of the update that follows `done` of them, under the settings `s`. */
export function rateAt(s, done) {
  if (done < s.warmup) return (s.peak * (done + 1)) / s.warmup;
  if (s.shape === "constant") return s.peak;
  if (s.shape === "steps") return s.peak / 10 ** milestones(s).filter((m) => done >= m).length;
  return (s.peak * (1 + Math.cos((Math.PI * (done - s.warmup)) / Math.max(1, s.steps - s.warmup)))) / 2;
}

/** How many updates are made at which rate: [[words, count], ...], the highest rates first. */
export function counts(s) {
  const edges = SHARES.map((share) => share * s.peak);
  const found = [0, 0, 0, 0];
  for (let done = 0; done < s.steps; done++) {
    const rate = rateAt(s, done) * (1 + 1e-9); // of rounding
    found[edges.filter((edge) => rate < edge).length]++;
  }
  const names = edges.map((low, i) => (i ? `${number(low)} to ${number(edges[i - 1])}` : `${number(low)} and more`));
  return [...names, `below ${number(edges[2])}`].map((name, i) => [name, found[i]]);
}

/** Places, in updates done, between which the curve is drawn: evenly spaced, and both sides of every corner. */
function places(s) {
  const even = Array.from({ length: 301 }, (_, i) => Math.round((i * (s.steps - 1)) / 300));
  const corners = [s.warmup, ...milestones(s)].flatMap((m) => [m - 1, m]);
  return [...new Set([...even, ...corners])].filter((m) => m >= 0 && m < s.steps).sort((a, b) => a - b);
}

function render({ model, el }) {
  addChartStyle(el, "schedule", STYLE);
  const fields = {};
  const radio = (label, name, options) => {
    fields[name] = radioField({ label, options, value: model.get(name), onchange: (value) => put(model, { [name]: value }) });
  };
  const whole = (label, name, min, max, step, unit) => {
    fields[name] = numberField({
      label, min, max, step, unit, value: model.get(name), onchange: (value) => put(model, { [name]: value }),
    });
  };
  radio("Shape", "shape", SHAPES);
  radio("Highest rate", "peak", PEAKS);
  whole("Updates in all", "steps", 100, 100000, 100);
  whole("First fall", "first", 1, 100, 1, "% of all updates");
  whole("Second fall", "second", 1, 100, 1, "% of all updates");
  whole("Warm-up", "warmup", 0, 10000, 100, "updates");
  whole("Read the rate at update", "update", 1, 100000, 1);
  const settings = () => Object.fromEntries(TRAITS.split(" ").map((name) => [name, model.get(name)]));
  const story = h("p", { class: "rx-story", role: "status" });
  const values = liveTable("Updates at each rate");

  const chart = drawing("Learning rate over the training", (root, width) => {
    const s = settings();
    const plot = axes(root, {
      width, right: 18, height: Math.round(Math.min(320, Math.max(220, width * 0.42))),
      x: { domain: [0, s.steps], title: "updates done", whole: true, format: thousands },
      y: { kind: "log", domain: [s.peak / 1000, s.peak * 1.5], title: "learning rate" },
    });
    const at = Math.min(s.update, s.steps) - 1;
    plot.layer.append(
      svg("path", { class: "rx-sc-line", d: line(places(s).map((done) => [plot.sx(done), plot.sy(rateAt(s, done))])) }),
      svg("circle", { class: "rx-sc-now", r: 5, cx: plot.sx(at), cy: plot.sy(rateAt(s, at)) }));
  });

  function draw() {
    const s = settings();
    for (const [name, field] of Object.entries(fields)) if (name !== "update") field.set(s[name]);
    fields.update.set(Math.min(s.update, s.steps), { max: s.steps });
    for (const name of ["first", "second"]) fields[name].node.hidden = s.shape !== "steps";
    const found = counts(s);
    const rows = found.map(([name, count]) => [name, thousands(count), `${((100 * count) / s.steps).toFixed(1)}%`]);
    values.fill({ caption: "Updates at each rate", columns: [["rate", ""], ["updates", "number"], ["share", "number"]], rows });
    const update = Math.min(s.update, s.steps);
    say(story, `Update ${thousands(update)} of ${thousands(s.steps)} is made at a rate of ${number(rateAt(s, update - 1), 4)}.`);
    chart.root.setAttribute("aria-label", `Learning rate over ${thousands(s.steps)} updates, logarithmic. ${story.textContent} `
      + `Updates at each rate: ${found.map(([name, count]) => `${name}: ${thousands(count)}`).join("; ")}.`);
    chart.draw();
  }

  el.append(frame("Schedule explorer", h("div", { class: "rx-controls" }, Object.values(fields).map((field) => field.node)),
    chart.node, story, values.node));
  draw();
  const soon = onFrame(draw);
  const ends = [listen(model, TRAITS, soon), soon.cancel, chart.stop];
  return () => ends.forEach((end) => end());
}

export default { render };
