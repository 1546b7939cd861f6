// The study player: predict, then see the curves of a study; scrub through its steps and read values.
//
// Traits: study (see resnet_edu/widgets/study.py: nets with a value for each run and step, marks), nets (names that
// are shown), metric, scale, step, prediction (the reader's ranking, lowest first) and shown (whether the curves are).
import { addChartStyle, axes, drawnLine, onWidth, swatch } from "./lib/chart.js";
import { area, finite, line, meanRange, nearest, percent, spread } from "./lib/plot.js";
import { judge, moved } from "./lib/ranking.js";
import { announcer, button, checkField, frame, h, onFrame, patch, player, radioField, say, svg, thousands, uid } from "./lib/ui.js";

const METRICS = { train_error: "training error", test_error: "test error" };
const PLAY = 6000; // ms for a whole run
const lastOf = (list) => list[list.length - 1];

const STYLE = `
.rx ol.rx-rank{margin:.3rem 0;padding-left:1.6rem;max-width:24rem}
.rx-rank li{padding:.12rem 0}
.rx-rank li>*{vertical-align:middle}
.rx-rank li>span{display:inline-block;min-width:6rem}
.rx-rank .rx-button{min-width:2.4rem;margin-left:.35rem!important}
.rx-rank [aria-disabled]{opacity:.45}
.rx-choices{align-items:start}
.rx-predict{display:grid;gap:.6rem 2rem}
@container (min-width:42rem){.rx-predict{grid-template-columns:19rem 1fr}}
.rx svg.rx-pad{touch-action:none;cursor:crosshair}
.rx-sketch{fill:none;stroke-width:2.5;stroke-dasharray:.1 5;stroke-linecap:round}
.rx-scrub{display:grid;grid-template-columns:auto auto 1fr auto}
.rx-scrub output{min-width:8rem}
@container (max-width:36rem){.rx-scrub{grid-template-columns:auto auto 1fr}.rx-scrub .rx-range{grid-area:2/1/3/4}}
.rx-result{margin-bottom:.9rem;padding:.5rem .8rem;border-left:4px solid var(--rx-accent);background:var(--rx-soft)}
.rx-check .rx-swatch{margin-left:.15rem}`;

function render({ model, el }) {
  addChartStyle(el, "study", STYLE);
  const study = model.get("study");
  const all = study.nets.map((net) => net.net);
  const curves = study.nets.map((net) =>
    Object.fromEntries(Object.keys(METRICS).map((m) => [m, { ...meanRange(net[m]), runs: net[m].length }])),
  );
  const steps = [...new Set(study.nets.flatMap((net) => net.steps))].sort((a, b) => a - b);
  const last = lastOf(steps);
  const several = study.nets.some((net) => net.train_error.length > 1);
  const id = uid("study");
  const voice = announcer();

  const visible = () => study.nets.map((net, i) => ({ ...net, i })).filter((net) => model.get("nets").includes(net.net));
  const marks = () => study.marks.filter((m) => m.metric === model.get("metric") && model.get("nets").includes(m.net));
  const curve = (net) => curves[net.i][model.get("metric")];
  const position = () => nearest(steps, model.get("step"));
  const put = (change) => {
    for (const [key, value] of Object.entries(change)) model.set(key, value);
    model.save_changes();
  };

  // ---- the prediction ----

  const asked = model.get("metric"); // the question is about this one, whatever the reader looks at later

  let guess = [...all];
  const list = h("ol", { class: "rx-rank" });
  function drawRank(focus) {
    const arrow = (name, i, by, word, sign) => {
      const stuck = moved(guess, i, by) === guess;
      const act = () => {
        guess = moved(guess, i, by);
        drawRank([name, by]);
        voice.say(`${name} is number ${guess.indexOf(name) + 1} of ${guess.length}`);
      };
      const made = button(sign, act, { "aria-label": `Move ${name} ${word}`, "aria-disabled": stuck && "true" });
      if (focus && focus[0] === name && focus[1] === by) queueMicrotask(() => made.focus());
      return made;
    };
    const row = (name, i) =>
      h("li", {}, swatch(study.nets[all.indexOf(name)]), h("span", {}, name), arrow(name, i, -1, "up", "↑"), arrow(name, i, 1, "down", "↓"));
    list.replaceChildren(...guess.map(row));
  }

  // A sketch of the curves, with mouse or finger, for those who like to draw: by net, an error at each of so many places.
  const sketches = {};
  const places = Array.from({ length: 61 }, (_, i) => (i / 60) * last);
  const pad = svg("svg", { class: "rx-chart rx-pad", role: "img", "aria-label": "An empty chart to sketch the curves in" });
  const padHolder = h("div", { class: "rx-holder" }, pad);
  const pen = radioField({ label: "Sketch them, if you like, with mouse or finger:", options: all.map((name) => [name, name]), value: all[0], onchange: () => {} });
  let padPlot = null;
  let before = null; // where the pen was, as [place, error]
  const sketched = ({ sx, sy }) => Object.entries(sketches).map(([name, errors]) =>
    svg("path", { class: "rx-sketch", stroke: study.nets[all.indexOf(name)].color, d: line(errors.map((v, i) => [sx(places[i]), finite(v) ? sy(v) : null])) }));
  function drawPad(width) {
    const x = { domain: [0, last], title: "training steps", whole: true, format: thousands };
    padPlot = axes(pad, { width, height: 250, x, y: { kind: "linear", domain: [0, 100], title: `${METRICS[asked]} (%)` } });
    padPlot.layer.append(...sketched(padPlot));
  }
  function sketch(event) {
    if (event.type === "pointermove" && !before) return;
    const box = pad.getBoundingClientRect();
    const within = (v, from, to) => Math.min(1, Math.max(0, (v - from) / (to - from)));
    const i = Math.round(within(event.clientX - box.left, padPlot.left, padPlot.right) * 60);
    const error = 100 * within(event.clientY - box.top, padPlot.bottom, padPlot.top);
    const errors = (sketches[pen.value] ??= places.map(() => null));
    const [from, start] = before ?? [i, error];
    for (let k = Math.min(from, i); k <= Math.max(from, i); k++) errors[k] = from === i ? error : start + ((error - start) * (k - from)) / (i - from);
    before = [i, error];
    padPlot.layer.replaceChildren(...sketched(padPlot));
  }
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    before = null;
    sketch(event);
  });
  pad.addEventListener("pointermove", sketch);
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (before = null));
  const erase = button("Erase", () => {
    for (const name of all) delete sketches[name];
    padPlot?.layer.replaceChildren();
  }, { class: "rx-button rx-quiet" });

  const question = h("span");
  const predict = h("div", {},
    h("p", {}, h("strong", {}, "Predict first. "), question),
    h("div", { class: "rx-predict" }, list, h("div", {}, pen.node, padHolder, erase)),
    h("div", { class: "rx-row" },
      button("Commit and show the curves", () => reveal(guess)),
      button("Show me now", () => reveal([]), { class: "rx-button rx-quiet" })));

  function reveal(prediction) {
    put({ prediction, shown: true });
    draw();
    (result.hidden ? slider : result).focus();
  }
  const again = button("Predict again", () => {
    play.stop();
    put({ prediction: [], shown: false });
    draw();
    list.querySelector("button").focus();
  }, { class: "rx-button rx-quiet" });

  // ---- the prediction beside the result ----

  const result = h("div", { class: "rx-result", tabindex: "-1", role: "group", "aria-label": "Your prediction and the result" });
  function drawResult() {
    const mine = model.get("prediction");
    result.hidden = mine.length !== all.length;
    if (result.hidden) return;
    const finals = Object.fromEntries(study.nets.map((net, i) => {
      const c = curves[i][asked];
      return [net.net, { mean: lastOf(c.mean), low: lastOf(c.low), high: lastOf(c.high), runs: c.runs }];
    }));
    const found = judge(mine, finals);
    const verdict = !found.pairs
      ? "No two of these networks can be told apart."
      : `Pairs in the right order: ${found.right} of the ${found.pairs} that can be told apart.`;
    const words = (names) => names.length < 2 ? names[0] : `${names.slice(0, -1).join(", ")} and ${lastOf(names)}`;
    const gap = (lows, high) => {
      if (finals[high].mean === null) return "without a number, because its training diverged";
      const gaps = lows.map((low) => finals[high].mean - finals[low].mean);
      const [least, most] = [Math.min(...gaps).toFixed(1), Math.max(...gaps).toFixed(1)];
      return `${least === most ? most : `${least} to ${most}`} percentage points higher`;
    };
    result.replaceChildren(
      h("p", {}, h("strong", {}, "Your prediction, lowest first. "), verdict),
      h("ol", { class: "rx-rank" }, mine.map((name) =>
        h("li", {}, swatch(study.nets[all.indexOf(name)]), h("span", {}, name), " ", h("b", {}, percent(finals[name].mean))))),
      ...[...new Set(found.wrong.map(([, high]) => high))].map((high) => {
        const lows = found.wrong.filter(([, h]) => h === high).map(([low]) => low);
        return h("p", {}, `You expected less error of ${high} than of ${words(lows)}. It ended ${gap(lows, high)}.`);
      }));
  }

  // ---- the controls ----

  const boxes = study.nets.map((net) => {
    const field = checkField({
      label: [swatch(net), net.net],
      value: true,
      onchange: () => {
        const on = all.filter((_, i) => boxes[i].value);
        if (on.length) put({ nets: on });
        else {
          field.set(true);
          voice.say("One network has to stay.");
        }
      },
    });
    return field;
  });
  const metric = radioField({
    label: "Error on",
    options: [["train_error", "training images"], ["test_error", "test images"]],
    value: model.get("metric"),
    onchange: (v) => put({ metric: v }),
  });
  const scale = radioField({
    label: "Scale",
    options: [["linear", "linear"], ["log", "logarithmic"]],
    value: model.get("scale"),
    onchange: (v) => put({ scale: v }),
  });
  const slider = h("input", {
    class: "rx-range", type: "range", id, min: 0, max: steps.length - 1, step: 1,
    oninput: () => {
      play.stop();
      put({ step: steps[slider.value] });
    },
  });
  const play = player({
    what: "evaluation",
    delay: Math.min(400, PLAY / steps.length),
    onstep: (by) => {
      const i = position() + by;
      if (i < 0 || i >= steps.length) return false;
      put({ step: steps[i] });
      return i + by >= 0 && i + by < steps.length;
    },
  });

  // ---- the chart ----

  const chart = svg("svg", { class: "rx-chart", role: "img" });
  const holder = h("div", { class: "rx-holder" }, chart);
  let plot = null;

  function yAxis() {
    const title = `${METRICS[model.get("metric")]} (%)`;
    if (model.get("scale") === "log") {
      // The least error above none is one image; zero is drawn at the decade below it.
      return { kind: "log", domain: [10 ** Math.floor(Math.log10(study.image[model.get("metric")] / 2)), 100], title, zero: true };
    }
    const top = Math.max(1, ...curves.flatMap((c) => c[model.get("metric")].high).filter(finite), ...marks().map((m) => m.value));
    return { kind: "linear", domain: [0, Math.min(100, top * 1.06)], title };
  }

  function drawChart(width) {
    const nets = visible();
    const right = 22 + 7.4 * Math.max(...all.map((name) => name.length));
    const height = Math.round(Math.min(390, Math.max(260, width * 0.52)));
    const x = { domain: [0, last], title: "training steps", whole: true, format: thousands };
    plot = axes(chart, { width, height, right, x, y: yAxis() });
    const { sx, sy, layer } = plot;
    const place = (values) => values.map((v) => (finite(v) ? sy(v) : null));
    const strokes = () => nets.map((net) => {
      const ys = place(curve(net).mean);
      return svg("path", { d: line(net.steps.map((s, k) => [sx(s), ys[k]])), ...drawnLine(net) });
    });
    const bands = nets.filter((net) => curve(net).runs > 1).map((net) =>
      svg("path", { class: "rx-band", fill: net.color, d: area(net.steps.map(sx), place(curve(net).low), place(curve(net).high)) }));
    const diamonds = marks().map((m) => {
      const [px, py] = [plot.right, sy(m.value)];
      return svg("path", { class: "rx-mark", d: `M${px} ${py - 6}l6 6l-6 6l-6 -6Z`, fill: study.nets[all.indexOf(m.net)].color });
    });
    const finals = nets.map((net) => lastOf(curve(net).mean.filter(finite)) ?? 0);
    const heights = spread(finals.map(sy), 16, plot.top + 4, plot.bottom);
    const labels = nets.map((net, k) => [
      svg("path", { d: `M${plot.right} ${sy(finals[k])}L${plot.right + 9} ${heights[k]}h5`, stroke: net.color, fill: "none" }),
      svg("text", { x: plot.right + 18, y: heights[k] + 4 }, net.net),
    ]);
    plot.clip = svg("rect", { x: 0, y: 0, height });
    plot.cursor = svg("path", { class: "rx-cursor" });
    plot.dots = nets.map((net) => svg("circle", { r: 4.5, fill: net.color, class: "rx-dot" }));
    layer.append(...[
      svg("clipPath", { id: `${id}-c` }, plot.clip),
      svg("g", { class: "rx-later" }, strokes()), // what is still to come stands there faintly
      svg("g", { "clip-path": `url(#${id}-c)` }, bands, strokes()),
      asked === model.get("metric") && svg("g", {}, sketched(plot)), plot.cursor, svg("g", {}, diamonds), svg("g", {}, plot.dots), svg("g", {}, labels),
    ].filter(Boolean));
    drawCursor();
  }

  function describe() {
    const told = visible().map((net) => `${net.net} from ${percent(curve(net).mean[0])} to ${percent(lastOf(curve(net).mean))}`);
    return `${METRICS[model.get("metric")]} over ${thousands(last)} training steps on ${study.dataset}: ${told.join("; ")}`;
  }

  function drawCursor() {
    if (!plot) return;
    const x = plot.sx(model.get("step"));
    patch(plot.clip, { width: x });
    patch(plot.cursor, { d: `M${x} ${plot.top}V${plot.bottom}` });
    visible().forEach((net, k) => {
      const i = nearest(net.steps, model.get("step"));
      const value = curve(net).mean[i];
      const there = finite(value);
      patch(plot.dots[k], { cx: plot.sx(net.steps[i]), cy: there ? plot.sy(value) : 0, visibility: there ? "visible" : "hidden" });
    });
  }

  function scrub(event) {
    if (event.type === "pointermove" && event.pointerType !== "mouse" && !event.buttons) return;
    const share = (event.clientX - chart.getBoundingClientRect().left - plot.left) / (plot.right - plot.left);
    play.stop();
    put({ step: steps[nearest(steps, share * last)] });
  }
  chart.addEventListener("pointerdown", scrub);
  chart.addEventListener("pointermove", scrub);

  // ---- the values ----

  const sketchNote = h("span");
  const caption = h("caption");
  const head = h("tr");
  const body = h("tbody");
  const reading = h("output", { for: id });
  let rows = [];
  function drawRows() {
    const paper = marks();
    const cell = (text = "") => h("td", { class: "rx-num" }, text);
    const titles = ["network", several ? "mean" : "error", several && "least to greatest", paper[0]?.label].filter(Boolean);
    head.replaceChildren(...titles.map((title, i) => h("th", { scope: "col", class: i && "rx-num" }, title)));
    rows = visible().map((net) => ({ net, mean: cell(), range: several && cell(), paper: paper.length > 0 && cell(paper.find((m) => m.net === net.net)?.text ?? "–") }));
    body.replaceChildren(...rows.map((r) => h("tr", {}, h("th", { scope: "row" }, swatch(r.net), r.net.net), r.mean, r.range, r.paper)));
    drawValues();
  }
  function drawValues() {
    const step = model.get("step");
    const epoch = study.epoch ? ` (epoch ${(step / study.epoch).toFixed(step < 10 * study.epoch ? 1 : 0)})` : "";
    for (const r of rows) {
      const [c, i] = [curve(r.net), nearest(r.net.steps, step)];
      say(r.mean, percent(c.mean[i]));
      if (several) say(r.range, finite(c.low[i]) ? `${c.low[i].toFixed(2)} to ${c.high[i].toFixed(2)}` : "–");
    }
    say(caption, `${METRICS[model.get("metric")]} after ${thousands(step)} of ${thousands(last)} steps`);
    say(reading, `${thousands(step)}${epoch}`);
    slider.value = position();
    slider.setAttribute("aria-valuetext", `step ${thousands(step)}: ${rows.map((r) => `${r.net.net} ${r.mean.textContent}`).join(", ")}`);
  }

  // ---- together ----

  const curvesView = h("div", {},
    result,
    h("div", { class: "rx-row rx-choices" },
      h("fieldset", { class: "rx-field" }, h("legend", {}, "Networks"), h("div", { class: "rx-radios" }, boxes.map((b) => b.node))),
      metric.node, scale.node),
    holder,
    h("div", { class: "rx-row rx-scrub" }, play.node, h("label", { for: id }, "Step"), slider, reading),
    h("div", { class: "rx-scroll", tabindex: "0", role: "region", "aria-label": "Values at this step" },
      h("table", { class: "rx-table" }, caption, h("thead", {}, head), body)),
    h("p", { class: "rx-hint" }, study.note, " ", sketchNote),
    h("div", { class: "rx-row" }, again));
  el.append(frame("Study player", predict, curvesView, voice.node));

  function draw() {
    const shown = model.get("shown");
    predict.hidden = shown;
    if (!shown && padHolder.clientWidth) drawPad(Math.floor(padHolder.clientWidth));
    curvesView.hidden = !shown;
    say(question, `Order the networks by their ${METRICS[asked]} after ${thousands(last)} steps, the lowest at the top.`);
    boxes.forEach((box, i) => box.set(model.get("nets").includes(all[i])));
    metric.set(model.get("metric"));
    scale.set(model.get("scale"));
    drawResult();
    say(sketchNote, Object.keys(sketches).length ? "Dotted: your sketch." : "");
    drawRows();
    chart.setAttribute("aria-label", describe());
    if (shown && holder.clientWidth) drawChart(Math.floor(holder.clientWidth));
  }
  drawRank();
  draw();
  const soon = onFrame(draw);
  const cursorSoon = onFrame(() => {
    drawCursor();
    drawValues();
  });
  const unwatch = [onWidth(holder, drawChart), onWidth(padHolder, drawPad)];
  const whole = "change:nets change:metric change:scale change:prediction change:shown".split(" ");
  whole.forEach((event) => model.on(event, soon));
  model.on("change:step", cursorSoon);
  return () => {
    whole.forEach((event) => model.off(event, soon));
    model.off("change:step", cursorSoon);
    [soon, cursorSoon].forEach((f) => f.cancel());
    play.stop();
    voice.stop();
    unwatch.forEach((stop) => stop());
  };
}

export default { render };
