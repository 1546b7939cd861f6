// The way from blocks that do nothing to blocks that were trained: a trained net of 20 layers gets 18 blocks more, a slider
// brings them from the identity to what a net of 56 layers has learnt there, and the loss is computed at each stop.
//
// Traits: files (net -> sha256 and bytes of its weights), kind ("plain" or "resnet"), percent (of the way) and, where
// there is a kernel, _worker (the worker's source). What is computed: workers/dissecting.js, `deepened`.
import { addChartStyle, axes, drawing, drawnLine, listen, put } from "./lib/chart.js";
import { netWorker } from "./lib/net_worker.js";
import { NET_LINES, line, nearest, number } from "./lib/plot.js";
import { frame, h, onFrame, say, svg, uid } from "./lib/ui.js";
import STYLE from "./identity.css";

const STOPS = [0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 60, 80, 100]; // percent of the way
const CHANCE = Math.log(10); // the loss of somebody who finds all ten digits equally likely
const IMAGES = 40;

function render({ model, el, worker, data }) {
  addChartStyle(el, "identity", STYLE);
  const kind = model.get("kind");
  const look = { ...NET_LINES[kind === "plain" ? "plain" : "residual"], width: 2.4 };
  const [shallow, deep] = [`${kind}20`, `${kind}56`];
  const found = new Map(); // percent -> { loss, wrong, trained }
  const engine = netWorker({ model, worker, data, heard, failed });
  let [phase, problem] = ["ready", ""]; // then "loading", "there"
  let there = 0; // nets
  let asked = null; // the stop that is being computed
  const percent = () => STOPS[nearest(STOPS, model.get("percent"))];

  function failed(error) {
    [phase, problem] = ["ready", `The nets could not be opened here: ${error.message ?? "the browser refuses a worker"}.`];
    draw();
  }

  function heard(message) {
    if (message.problem) return failed({ message: `${message.net}: ${message.problem}` });
    if (message.blend) {
      found.set(message.blend.percent, message.blend);
      asked = null;
    } else if (++there === 2) phase = "there";
    ask();
    return draw();
  }

  /** Compute the stop where the slider is; if that is known, the others one by one. */
  function ask() {
    if (phase !== "there" || asked !== null) return;
    asked = [percent(), ...STOPS].find((stop) => !found.has(stop)) ?? null;
    if (asked !== null) engine.post({ blend: { shallow, deep, percent: asked } });
  }

  function move() {
    if (phase === "ready") {
      [phase, there, problem] = ["loading", 0, ""];
      engine.open([shallow, deep]);
    }
    ask();
    draw();
  }

  const id = uid("identity");
  const range = h("input", {
    class: "rx-range", type: "range", id, min: 0, max: STOPS.length - 1, step: 1,
    oninput: () => put(model, { percent: STOPS[range.value] }),
  });
  const reading = h("output", { for: id });
  const story = h("p", { class: "rx-story", role: "status" });
  const hint = h("p", { class: "rx-hint" }, `Computed in this page with the trained ${shallow} and ${deep}, in evaluation mode, on ${IMAGES} training images. Dotted: the loss of a guess, ${number(CHANCE)}.`);

  function words() {
    if (problem) return problem;
    const at = found.get(percent());
    if (phase === "ready") return `Move the slider: ${engine.megabytes([shallow, deep]).toFixed(1)} MB of weights come into the page.`;
    if (!at) return phase === "loading" ? "The nets are on their way …" : "…";
    const sum = `loss ${number(at.loss)}, ${at.wrong} of ${IMAGES} images wrong`;
    if (percent() === 0) return `18 blocks that do nothing: ${sum}. So does ${shallow}. ${deep}, trained from scratch, has a loss of ${number(at.trained)}.`;
    return percent() === 100 ? `The 18 blocks are those of ${deep}: ${sum}.` : `${percent()}% of the way: ${sum}.`;
  }

  const chart = drawing("Loss along the way", (root, width) => {
    const known = STOPS.filter((stop) => found.has(stop));
    const most = Math.max(3, ...known.map((stop) => 1.05 * found.get(stop).loss));
    const plot = axes(root, {
      width, height: Math.round(Math.min(260, Math.max(200, width * 0.4))), right: 24,
      x: { domain: [0, 100], title: `from the identity to the blocks of ${deep}`, format: (v) => `${v}%` },
      y: { domain: [0, most], title: "loss" },
    });
    const at = (stop) => [plot.sx(stop), plot.sy(found.get(stop).loss)];
    plot.layer.append(
      svg("path", { class: "rx-id-chance", d: `M${plot.left} ${plot.sy(CHANCE)}H${plot.right}` }),
      svg("path", { ...drawnLine(look), d: line(known.map(at)) }),
      ...known.filter((stop) => stop === percent()).map((stop) => svg("circle", { cx: at(stop)[0], cy: at(stop)[1], r: 5.5, class: "rx-id-point", stroke: look.color })));
  });

  function drawAll() {
    const stop = percent();
    range.value = STOPS.indexOf(stop);
    say(reading, `${stop}%`);
    range.setAttribute("aria-valuetext", `${stop}% of the way`);
    say(story, words());
    const known = STOPS.filter((one) => found.has(one)).map((one) => `${one}%: ${number(found.get(one).loss)}`);
    chart.root.setAttribute("aria-label", `Loss along the way. ${known.join(", ") || "Nothing is computed yet."}`);
    chart.draw();
  }
  const draw = onFrame(drawAll);
  el.append(frame("Identity slider",
    h("div", { class: "rx-title" }, `${shallow}, trained, and 18 blocks more`),
    h("div", { class: "rx-field" }, h("label", { for: id }, "From doing nothing to what was learnt"), h("div", { class: "rx-pair" }, reading, range)),
    chart.node, story, hint));
  drawAll();
  const ends = [listen(model, "percent", move), draw.cancel, chart.stop, engine.end];
  return () => ends.forEach((end) => end());
}

export default { render };
