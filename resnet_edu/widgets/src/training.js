// The training laboratory: plain and residual nets are trained on digits in the page, side by side, while you watch.
//
// Traits: nets (names such as "plain-56"), width, batch_norm, rate, batch, seed, steps, predict (whether the reader is
// asked before the first run), record (of the last run, as it is exported), and, where there is a kernel, _worker (the
// worker's source). Each net trains in a worker of its own (workers/training.js); here is what is seen and chosen.
import { addChartStyle, listen, liveTable, named, put } from "./lib/chart.js";
import { lineChart, netCard } from "./lib/race.js";
import { NET_LINES, decades, finite, number, percent } from "./lib/plot.js";
import { announcer, button, frame, h, numberField, onFrame, patch, radioField, say, selectField, thousands, uid, wholeNumber } from "./lib/ui.js";
import STYLE from "./training.css";

const KINDS = {
  plain: { text: "plain", ...NET_LINES.plain },
  residual: { text: "residual", ...NET_LINES.residual },
  zeroed: { text: "residual, last scale zero", color: "var(--rx-other)", dash: [1, 1.5] },
  preact: { text: "pre-activation", color: "var(--rx-other)", dash: [6, 1.5, 1, 1.5] },
};
const LIMITS = {
  depth: { min: 4, max: 110, step: 2 }, width: { min: 8, max: 64, step: 4 }, seed: { min: 0, max: 9999 }, steps: { min: 50, max: 2000, step: 50 },
};
const RATES = [0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1];
const BATCHES = [16, 32, 64, 128, 256];
const MOST = 4; // nets
const AHEAD = 8; // steps that the fastest net may be before the slowest
const REDRAW = 45; // ms from one part of the picture to the next while the nets train: most of the time is theirs
const CHOICES = ["nets", "width", "batch_norm", "rate", "batch", "seed", "steps"];

const nearest = (list, value) => list.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a));
const split = (name) => [name.split("-")[0], Number(name.split("-")[1])];

/** What a name says of a net: kind, depth, and how its line is drawn beside the others. */
function describe(name, all) {
  const [kind, depth] = split(name);
  const depths = [...new Set(all.map((n) => split(n)[1]))].sort((a, b) => a - b);
  const share = depths.length > 1 ? depths.indexOf(depth) / (depths.length - 1) : 0.6;
  return { net: name, kind, depth, color: KINDS[kind].color, dash: KINDS[kind].dash, width: 1.6 + 2 * share };
}

/** How many numbers a net of these settings trains. */
function parameters({ depth, width, batch_norm }) {
  const each = batch_norm ? 2 * width : width; // a scale and a shift, or a bias
  return 64 * width + each + (depth - 2) * (width * width + each) + 10 * width + 10;
}

/**
 * The choices as a link's fragment: lab1_plain-20_residual-20_width-32_rate-0p02_... Letters, digits, - and _ only, since
 * scripts of the book's theme read a fragment as a CSS selector.
 */
const toLink = (place, { nets, batch_norm, ...numbers }) =>
  [`#lab${place}`, ...nets, `norm-${batch_norm ? "on" : "off"}`, ...Object.entries(numbers).map(([name, value]) => `${name}-${value}`)].join("_").replaceAll(".", "p");

/** The choices that such a fragment has for the laboratory at this place, each brought into its limits; or null. */
function fromLink(fragment, place) {
  const [name, ...parts] = fragment.split("_");
  if (name !== `#lab${place}`) return null;
  const found = { nets: [] };
  for (const [key, text] of parts.map((part) => part.split("-"))) {
    const limits = LIMITS[Object.hasOwn(KINDS, key) ? "depth" : key];
    const whole = limits && wholeNumber(text ?? "", { ...limits, fallback: null }).value;
    const value = Number((text ?? "").replace("p", "."));
    if (Object.hasOwn(KINDS, key) && whole !== null && found.nets.length < MOST) found.nets.push(`${key}-${whole}`);
    else if (key === "norm") found.batch_norm = text === "on";
    else if (key === "rate" && value > 0) found.rate = nearest(RATES, value);
    else if (key === "batch" && value > 0) found.batch = nearest(BATCHES, value);
    else if (["width", "seed", "steps"].includes(key) && whole !== null) found[key] = whole;
  }
  if (!found.nets.length) delete found.nets;
  return found;
}

/** What the last evaluations say, in sentences. */
function outcome(lanes, guess) {
  const error = ({ broke, error: last }) => (broke ? Infinity : last.train);
  const order = [...lanes].sort((a, b) => error(a) - error(b));
  const short = ({ net, broke, error: last }) => `${net.net} ${broke ? `diverged at step ${broke.step}` : percent(last.train)}`;
  const sentences = [`Training images that are wrong after ${thousands(lanes[0].target)} steps: ${order.map(short).join(", ")}.`];
  if (guess) {
    const worst = order.filter((lane) => error(lane) >= error(order.at(-1))).map((lane) => lane.net.net);
    const most = worst.length > 1 ? `; ${worst.join(" and ")} made equally many` : worst[0] === guess ? ", and it did" : `; it was ${worst[0]}`;
    sentences.unshift(`You expected ${guess} to make the most mistakes${most}.`);
  }
  for (const deep of lanes) {
    const shallow = order.find((lane) => lane.net.kind === deep.net.kind && lane.net.depth < deep.net.depth);
    if (shallow && error(deep) - error(shallow) >= 10) {
      sentences.push(`${deep.net.net} could do all that ${shallow.net.net} does, with layers to spare. Training has not found that.`);
    }
  }
  return sentences;
}

function render({ model, el, worker }) {
  addChartStyle(el, "training", STYLE);
  const source = worker ?? (() => Promise.resolve(`${model.get("_worker")}\nrxWorkers.training()`));
  const place = document.querySelectorAll("[data-rx-lab]").length + 1;
  el.dataset.rxLab = place;
  const voice = announcer();
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const choices = () => Object.fromEntries(CHOICES.map((name) => [name, model.get(name)]));

  let phase = "ready"; // then "loading", "running", "paused", "over"
  let lanes = []; // one for each net: { net, card, worker, step, loss, error, points, ... } as its worker reports
  let target = 0; // the step at which it ends
  let goal = 0; // the step up to which the nets have been told to go: a pause is one that all have reached
  let guess = null;
  let asking = model.get("predict");
  let url = null; // of the worker's source
  let problem = "";
  let ranges = null; // of the bars in all cards
  let moving = []; // functions that draw what moves while the nets train
  let due = new Set(); // those whose part of the picture is not up to date

  // ---- the run ----

  function stop(lane) {
    lane.worker?.terminate();
    lane.card.stop();
  }
  function clear() {
    lanes.forEach(stop);
    const { nets, steps, ...recipe } = choices();
    lanes = nets.map((name) => {
      const net = describe(name, nets);
      const card = netCard(net, parameters({ ...recipe, depth: net.depth }));
      return { net, card, target: steps, step: 0, loss: null, error: null, broke: null, over: false, points: [] };
    });
    cards.replaceChildren();
    moving = [drawValues, drawErrors, drawLosses, ...lanes.map((lane) => () => drawCard(lane))];
    [phase, target, goal, guess, problem] = ["ready", steps, 0, null, ""];
  }

  async function load() {
    if (lanes[0].worker) return;
    [phase, problem] = ["loading", ""];
    draw();
    const mine = lanes; // another list when something else is chosen in the meantime
    url ??= URL.createObjectURL(new Blob([await source()], { type: "text/javascript" }));
    if (mine !== lanes) return;
    const { nets, ...recipe } = choices();
    for (const lane of lanes) {
      lane.worker = new Worker(url);
      lane.worker.onmessage = ({ data }) => heard(lane, data);
      lane.worker.onerror = (event) => failed(event);
      lane.worker.postMessage({ start: { ...recipe, kind: lane.net.kind, depth: lane.net.depth } });
    }
  }

  function failed(error) {
    clear();
    problem = `The nets could not be trained here: ${error.message ?? "the browser refuses a worker"}.`;
    draw();
  }

  const slowest = () => Math.min(target, ...lanes.filter((lane) => !lane.over).map((lane) => lane.step));
  const tell = (message) => lanes.forEach((lane) => lane.worker?.postMessage(message));
  const goOn = (step) => tell({ limit: (goal = Math.min(target, step)) });

  function heard(lane, report) {
    if (!lanes.includes(lane)) return; // a late one, of a run that was given up
    lane.points.push(...report.points);
    Object.assign(lane, report, { points: lane.points });
    if (lanes.every((one) => one.over)) finish();
    else if (phase === "running") goOn(slowest() + AHEAD);
    if (phase !== "running") return draw();
    moving.forEach((part) => due.add(part));
    return soon();
  }

  function finish() {
    phase = "over";
    put(model, { record: record() });
    voice.say(`The run is over. ${outcome(lanes, guess).join(" ")}`);
  }

  /** Start, pause, go on; with `single`, one step. */
  const run = (single) => async () => {
    if (phase === "loading") return;
    try {
      if (phase === "over") {
        target += choices().steps;
        lanes.forEach((lane) => Object.assign(lane, { target, over: Boolean(lane.broke) }));
        tell({ steps: target });
      }
      const pausing = phase === "running";
      await load();
      if (!lanes[0].worker) return; // something else was chosen while the script came
      if (asking) {
        guess = choices().nets.find((name) => name === question.value) ?? null; // the net may be gone
        asking = false;
      }
      phase = single || pausing ? "paused" : "running";
      if (single) goOn(goal + 1);
      else if (!pausing) goOn(slowest() + AHEAD);
      const at = `step ${thousands(goal)}`;
      voice.say(phase === "running" ? `Training up to step ${thousands(target)}.` : single ? `One step, to ${at}.` : `Paused at ${at}.`);
      draw();
    } catch (error) {
      failed(error);
    }
  };

  /** All that is known of the run, as plain values. */
  function record() {
    return {
      what: "A run of the training laboratory: fully connected nets on scikit-learn's digits, 1,437 training and 360 test images",
      choices: choices(),
      nets: lanes.map(({ net, step, points, broke, sizes }) => ({
        net: net.net, parameters: parameters({ ...choices(), depth: net.depth }), steps: step, diverged: broke,
        losses: points.filter((p) => "loss" in p).map((p) => [p.step, p.loss]),
        errors: points.filter((p) => "train" in p).map(({ step: at, train, test }) => ({ step: at, train, test })), sizes: sizes ?? null,
      })),
    };
  }

  // ---- what is chosen ----

  const set = (name) => (value) => put(model, { [name]: value });
  const width = numberField({ label: "Width", unit: "units a layer", ...LIMITS.width, value: model.get("width"), onchange: set("width") });
  const seed = numberField({ label: "Seed", ...LIMITS.seed, value: model.get("seed"), onchange: set("seed"), slider: false });
  const steps = numberField({ label: "Steps", ...LIMITS.steps, value: model.get("steps"), onchange: set("steps") });
  const norm = radioField({ label: "Batch norm", options: [[true, "on"], [false, "off"]], value: model.get("batch_norm"), onchange: set("batch_norm") });
  const batch = selectField({ label: "Batch (images)", options: BATCHES.map((n) => [n, String(n)]), value: model.get("batch"), onchange: set("batch") });
  const id = uid("rate");
  const rate = h("input", { class: "rx-range", type: "range", id, min: 0, max: RATES.length - 1, step: 1, oninput: () => put(model, { rate: RATES[rate.value] }) });
  const rateText = h("output", { for: id });
  const netRows = h("div", { class: "rx-lab-nets" });

  const change = (i, name) => put(model, { nets: model.get("nets").map((old, k) => (k === i ? name : old)) });
  function drawNets() {
    const nets = model.get("nets");
    if (netRows.childElementCount === nets.length) return netRows.rows.forEach((row, i) => row(nets[i]));
    netRows.rows = [];
    netRows.replaceChildren(...nets.map((name, i) => {
      const now = () => split(model.get("nets")[i]);
      const kind = selectField({
        label: `Net ${i + 1}`, options: Object.entries(KINDS).map(([key, { text }]) => [key, text]), value: now()[0],
        onchange: (value) => change(i, `${value}-${now()[1]}`),
      });
      const depth = numberField({ label: "Layers", ...LIMITS.depth, value: now()[1], onchange: (value) => change(i, `${now()[0]}-${value}`) });
      netRows.rows.push((text) => {
        kind.set(split(text)[0]);
        if (depth.value !== split(text)[1]) depth.set(split(text)[1]);
      });
      const remove = () => {
        put(model, { nets: model.get("nets").filter((_, k) => k !== i) });
        drawNets();
        add.focus();
      };
      return h("div", { class: "rx-lab-net" }, kind.node, depth.node,
        nets.length > 1 && button("Remove", remove, { class: "rx-button rx-quiet", "aria-label": `Remove net ${i + 1}` }));
    }));
    return null;
  }
  const add = button(`Add a net (at most ${MOST})`, () => {
    const nets = model.get("nets");
    if (nets.length >= MOST) return voice.say(`At most ${MOST} nets run side by side.`);
    return put(model, { nets: [...nets, nets.includes("preact-56") ? "zeroed-56" : "preact-56"] });
  });

  // ---- what is seen ----

  const question = radioField({ label: "", options: [], value: null, onchange() {} });
  const ask = h("div", { class: "rx-lab-ask" }, question.node);
  const start = button("Start", run(false), { class: "rx-button rx-lab-start" });
  const once = button("One step", run(true));
  const again = button("Restart", () => {
    clear();
    voice.say("Back at step 0, with the same seed.");
    draw();
    start.focus();
  });
  const progress = h("span", { class: "rx-lab-progress" });
  const told = h("div", { class: "rx-lab-told" });
  const wrong = h("div", { class: "rx-error", role: "alert", hidden: true });
  const errors = lineChart("Training error", { title: "training error, all training images (%)", domain: () => [0, 100] });
  const losses = lineChart("Training loss", { title: "training loss (nats)", kind: "log", domain: (values) => decades([...values, 0.01, 3]) });
  const values = liveTable("The nets now");
  const cards = h("div", { class: "rx-lab-cards" });
  const inside = h("details", { class: "rx-lab-more", open: el.clientWidth > 560, ontoggle: () => draw() }, h("summary", {}, "Look inside the nets"), cards);
  const address = h("input", { class: "rx-lab-link", type: "text", readonly: true, hidden: true, "aria-label": "Link to these choices" });
  const link = button("Link to these choices", () => {
    history.replaceState(null, "", toLink(place, choices()));
    address.value = location.href;
    address.hidden = false;
    address.select();
    navigator.clipboard?.writeText(location.href).catch(() => {}); // where it is forbidden, the field is there
    voice.say("The address of this page now has these choices.");
  }, { class: "rx-button rx-quiet", hidden: !worker });
  const save = button("Save the run as JSON", () => {
    const file = URL.createObjectURL(new Blob([JSON.stringify(record(), null, 1)], { type: "application/json" }));
    h("a", { href: file, download: "training-run.json" }).click();
    setTimeout(() => URL.revokeObjectURL(file), 10_000);
  }, { class: "rx-button rx-quiet" });

  /** What changes with the phase and the choices. */
  function drawControls() {
    const chosen = choices();
    const idle = phase === "ready" || phase === "loading";
    question.set(question.value, chosen.nets.map((name) => [name, name]));
    say(ask.querySelector("legend"), `Predict first: which net will make the most mistakes on its own training images after ${thousands(chosen.steps)} steps?`);
    ask.hidden = !(asking && phase === "ready");
    say(start, { ready: "Start", loading: "Loading …", running: "Pause", paused: "Go on", over: `${thousands(chosen.steps)} more steps` }[phase]);
    start.disabled = lanes.every((lane) => lane.broke);
    once.disabled = ["running", "loading", "over"].includes(phase);
    again.disabled = idle;
    save.hidden = inside.hidden = idle;
    wrong.hidden = !problem;
    say(wrong, problem);
    rate.value = RATES.indexOf(nearest(RATES, chosen.rate));
    say(rateText, String(chosen.rate));
    rate.setAttribute("aria-valuetext", String(chosen.rate));
    for (const [name, field] of Object.entries({ width, seed, steps })) if (field.value !== chosen[name]) field.set(chosen[name]);
    norm.set(chosen.batch_norm);
    batch.set(chosen.batch);
    drawNets();
    patch(add, { "aria-disabled": chosen.nets.length >= MOST && "true" });
    if (phase === "ready") drawValues(); // the same nets in the choices and in the table
  }

  function drawOutcome() {
    told.hidden = phase !== "over";
    if (phase === "over") told.replaceChildren(...outcome(lanes, guess).map((sentence) => h("p", {}, sentence)));
  }

  /** A chart, and once nothing moves, its words. */
  function drawChart(chart, key, label, words) {
    chart.fill(lanes.map(({ net, points }) => ({ net, points: points.filter((p) => key in p).map((p) => [p.step, p[key]]) })), target);
    if (phase !== "running") chart.root.setAttribute("aria-label", `${label}: ${lanes.map((lane) => `${lane.net.net} ${words(lane)}`).join(", ")}`);
  }
  const drawErrors = () => drawChart(errors, "train", "Training error", ({ error }) => (error ? percent(error.train) : "not yet"));
  const drawLosses = () => drawChart(losses, "loss", "Training loss", ({ loss }) => (finite(loss) ? number(loss) : "no number"));

  const drawProgress = () => say(progress, `step ${thousands(slowest())} of ${thousands(target)}`);
  function drawValues() {
    drawProgress();
    values.fill({
      caption: "The nets now: loss of the last batch, wrong training and test images",
      columns: [["net"], ["loss", "number"], ["train error", "number"], ["test error", "number"]],
      rows: lanes.map(({ net, loss, error, broke }) => [named(net), ...(broke
        ? [h("span", { class: "rx-lab-bad" }, `diverged at step ${broke.step}, first in layer ${broke.layer}${broke.way === "backward" ? " (its gradient)" : ""}`)]
        : [finite(loss) ? number(loss) : "–", error ? percent(error.train) : "–", error && "test" in error ? percent(error.test) : "–"])]),
    });
    for (const bad of values.node.querySelectorAll(".rx-lab-bad")) bad.parentElement.colSpan = 3;
  }

  function addCard({ card }) {
    if (!inside.hidden && inside.open && !card.node.isConnected) cards.append(card.node); // it is filled in another frame
  }
  function drawCard(lane) {
    const { card } = lane;
    if (!card.node.isConnected || !inside.open) return;
    if (lane === lanes[0]) ranges = ["gradients", "outputs"].map((key) => decades(lanes.flatMap(({ sizes }) => sizes?.[key] ?? [])));
    card.fill(lane, ranges);
    if (phase !== "running") card.say(lane);
  }

  /** Draw one part of the picture, so that a frame is short; the others come in the next ones. */
  function drawPart() {
    if (phase === "running") drawProgress();
    const [part] = due;
    due.delete(part);
    if (part && !(phase === "running" && still.matches && moving.includes(part))) part(); // results without the way to them
    if (due.size) soon();
  }

  el.append(frame("Training laboratory",
    ask,
    h("div", { class: "rx-row rx-lab-go" }, start, once, again, progress),
    wrong, told,
    h("div", { class: "rx-lab-charts" }, errors.node, losses.node),
    h("div", { class: "rx-lab" }, values.node),
    h("details", { class: "rx-lab-more" }, h("summary", {}, "Change nets and recipe"),
      h("p", { class: "rx-hint" }, "A change begins a new run. What you find is true: it is a real run, and the seed makes it the same again."),
      netRows, h("div", { class: "rx-row" }, add),
      h("div", { class: "rx-controls" }, h("div", { class: "rx-field" }, h("label", { for: id }, "Learning rate"), h("div", { class: "rx-pair" }, rateText, rate)),
        steps.node, width.node, norm.node, batch.node, seed.node)),
    inside,
    h("p", { class: "rx-hint" }, "Your processor trains these nets now, from first weights drawn by the seed, on 1,437 images of digits (8 × 8 pixels). ",
      "They are fully connected, without a convolution: small enough to train while you watch. Batches, steps and SGD with momentum 0.9 are the same for all. ",
      "The curve of the error is taken in evaluation mode; a point of the loss is the mean over the batches since the one before."),
    h("div", { class: "rx-row" }, link, save), address, voice.node));

  const nextFrame = onFrame(drawPart);
  let waiting = 0;
  function soon() {
    if (phase !== "running") return nextFrame();
    waiting ||= setTimeout(() => {
      waiting = 0;
      nextFrame();
    }, REDRAW);
    return null;
  }
  function draw() {
    due = new Set([drawControls, drawValues, drawOutcome, ...lanes.map((lane) => () => addCard(lane)), ...moving]);
    nextFrame();
  }
  const follow = () => {
    const found = worker && fromLink(location.hash, place);
    if (!found) return;
    put(model, found);
    clear();
    draw();
    el.scrollIntoView();
  };
  const restart = () => {
    clear();
    draw();
  };
  clear();
  [drawControls, drawOutcome, ...moving].forEach((part) => part());
  follow();
  addEventListener("hashchange", follow);
  const ends = [
    listen(model, CHOICES.join(" "), restart), () => removeEventListener("hashchange", follow), () => clearTimeout(waiting), voice.stop,
    nextFrame.cancel, errors.stop, losses.stop, () => lanes.forEach(stop), () => url && URL.revokeObjectURL(url),
  ];
  return () => ends.forEach((end) => end());
}

export default { render };
