// Predict first: the reader ranks nets by their error, sketches curves if they like, and sees both beside the result.
import { axes, drawing, named } from "./chart.js";
import { finite, line, percent } from "./plot.js";
import { judge, moved } from "./ranking.js";
import { button, h, radioField, svg, thousands } from "./ui.js";

const PLACES = 60; // of a sketch, besides its beginning

/**
 * A list to be ordered with buttons, lowest first. say(text) speaks to screen readers.
 * Returns { node, order(), focus() }.
 */
export function ranking(nets, say) {
  const node = h("ol", { class: "rx-rank" });
  let order = nets.map((net) => net.net);
  function arrow(name, by, word, sign) {
    const i = order.indexOf(name);
    const act = () => {
      order = moved(order, i, by);
      draw();
      [...node.children][order.indexOf(name)].querySelectorAll("button")[by < 0 ? 0 : 1].focus();
      say(`${name} is number ${order.indexOf(name) + 1} of ${order.length}`);
    };
    return button(sign, act, { "aria-label": `Move ${name} ${word}`, "aria-disabled": moved(order, i, by) === order && "true" });
  }
  function draw() {
    node.replaceChildren(...order.map((name) =>
      h("li", {}, named(nets.find((net) => net.net === name)), arrow(name, -1, "up", "↑"), arrow(name, 1, "down", "↓"))));
  }
  draw();
  return { node, order: () => order, focus: () => node.querySelector("button").focus() };
}

/**
 * A chart to draw expected curves in, with mouse or finger: a net's errors (%) at evenly spaced steps up to `last`.
 * Returns { node, view, any(), paths(plot) }: paths are the sketches as SVG, in the scales of another chart.
 */
export function sketchPad(nets, last, title) {
  const sketches = new Map();
  const pen = radioField({
    label: "Sketch them, if you like, with mouse or finger:",
    options: nets.map((net) => [net.net, net.net]), value: nets[0].net, onchange() {},
  });
  let plot = null;
  let before = null; // where the pen was: [place, error]
  const paths = ({ sx, sy }) => [...sketches].map(([name, errors]) =>
    svg("path", {
      class: "rx-sketch", stroke: nets.find((net) => net.net === name).color,
      d: line(errors.map((v, i) => [sx((i / PLACES) * last), finite(v) ? sy(v) : null])),
    }));
  const redraw = () => plot?.layer.replaceChildren(...paths(plot));
  const view = drawing("An empty chart to sketch the curves in", (root, width) => {
    const x = { domain: [0, last], title: "training steps", whole: true, format: thousands };
    plot = axes(root, { width, height: 250, x, y: { domain: [0, 100], title } });
    redraw();
  }, "rx-pad");

  function draw(event) {
    const box = view.root.getBoundingClientRect();
    const share = (v, from, to) => Math.min(1, Math.max(0, (v - from) / (to - from)));
    const here = [
      Math.round(share(event.clientX - box.left, plot.left, plot.right) * PLACES),
      100 * share(event.clientY - box.top, plot.bottom, plot.top),
    ];
    if (!sketches.has(pen.value)) sketches.set(pen.value, Array(PLACES + 1).fill(null));
    const errors = sketches.get(pen.value);
    const [a, b] = [before ?? here, here].sort((p, q) => p[0] - q[0]);
    for (let i = a[0]; i <= b[0]; i++) errors[i] = a[0] === b[0] ? here[1] : a[1] + ((b[1] - a[1]) * (i - a[0])) / (b[0] - a[0]);
    before = here;
    redraw();
  }
  const on = (type, f) => view.root.addEventListener(type, f);
  on("pointerdown", (event) => {
    view.root.setPointerCapture(event.pointerId);
    before = null;
    draw(event);
  });
  on("pointermove", (event) => before && draw(event));
  on("pointerup", () => (before = null));
  on("pointercancel", () => (before = null));
  const erase = button("Erase", () => {
    sketches.clear();
    redraw();
  }, { class: "rx-button rx-quiet" });
  return { node: h("div", {}, pen.node, view.node, erase), view, any: () => [...sketches.values()].some((errors) => errors.filter(finite).length > 1), paths };
}

/** The ranking `mine` beside the final values { name: { mean, low, high, runs } }, in words: an array of elements. */
export function verdict(mine, nets, finals) {
  const { pairs, right, wrong } = judge(mine, finals);
  const told = pairs
    ? `Pairs in the right order: ${right} of the ${pairs} that can be told apart.`
    : "No two of these networks can be told apart.";
  const worse = [...new Set(wrong.map(([, high]) => high))].map((high) => {
    const lows = wrong.filter((pair) => pair[1] === high).map(([low]) => low);
    return h("p", {}, `You expected less error of ${high} than of ${lows.join(", ")}. It ended ${gap(lows.map((low) => finals[low].mean), finals[high].mean)}.`);
  });
  return [
    h("p", {}, h("strong", {}, "Your prediction, lowest first. "), told),
    h("ol", { class: "rx-rank" }, mine.map((name) =>
      h("li", {}, named(nets.find((net) => net.net === name)), " ", h("b", {}, percent(finals[name].mean))))),
    ...worse,
  ];
}

/** By how much `high` lies above the lower errors, in words. */
function gap(lows, high) {
  if (high === null) return "without a number, because its training diverged";
  const [most, least] = [Math.min(...lows), Math.max(...lows)].map((low) => (high - low).toFixed(1));
  return `${least === most ? most : `${least} to ${most}`} percentage points higher`;
}
