// What explorers with curves share: axes as SVG in real pixels (letters keep their size on a phone), lines of nets as
// in the figures, labels at their ends, a table that is filled anew in its place, and traits that are listened to.
import { logTicks, number, scaler, spread, ticks } from "./plot.js";
import { addStyle } from "./style.js";
import { h, svg, table } from "./ui.js";
import STYLE from "./chart.css";

const LETTER = 7.2; // px, a wide guess for one letter of the axes' type
const TOP = 30;
const BOTTOM = 42;

/**
 * Draw axes of `width` x `height` px into `root`, an SVG element, which is emptied.
 *
 * x, y: { kind: "linear" or "log", domain: [from, to], title, format, whole }; x is always linear. On a log axis of `y`
 *       with `zero: true` the lowest tick is called 0, since that is where a value of 0 is drawn.
 * right: px kept free to the right of the plot, for labels.
 * Returns { sx, sy, left, right, top, bottom, layer }: scales to px, the plot's edges, and a group to draw in.
 */
export function axes(root, { width, height, x, y, right = 12 }) {
  const name = (axis, v) => (axis.format ?? number)(v);
  const yTicks = (y.kind === "log" ? logTicks : ticks)(...y.domain);
  const yNames = yTicks.map((v) => (y.zero && v === y.domain[0] ? "0" : name(y, v)));
  const left = Math.ceil(Math.max(...yNames.map((t) => t.length)) * LETTER) + 12;
  const edges = { left, right: width - right, top: TOP, bottom: height - BOTTOM };
  const sx = scaler("linear", x.domain, [edges.left, edges.right]);
  const sy = scaler(y.kind, y.domain, [edges.bottom, edges.top]);
  const text = (atX, atY, words, anchor) => svg("text", { x: atX, y: atY, "text-anchor": anchor }, words);

  const room = Math.max(2, Math.floor((edges.right - edges.left) / (LETTER * 6)));
  const xTicks = ticks(...x.domain, Math.min(6, room)).filter((v) => !x.whole || Number.isInteger(v));
  const layer = svg("g");
  root.replaceChildren(
    svg("g", { class: "rx-axes", "aria-hidden": "true" },
      yTicks.map((v, i) => [
        svg("path", { class: "rx-grid", d: `M${edges.left} ${sy(v)}H${edges.right}` }),
        text(edges.left - 7, sy(v) + 4, yNames[i], "end"),
      ]),
      xTicks.map((v) => text(Math.min(sx(v), width - (name(x, v).length * LETTER) / 2), edges.bottom + 18, name(x, v), "middle")),
      svg("path", { class: "rx-axis", d: `M${edges.left} ${edges.top}V${edges.bottom}H${edges.right}` }),
      svg("text", { x: 0, y: 14, class: "rx-axis-title" }, y.title),
      // A title that is longer than the axis may use the room below the labels.
      text(Math.min(width, Math.max(edges.right, x.title.length * LETTER)), height - 6, x.title, "end")),
    layer);
  size(root, width, height);
  return { sx, sy, layer, ...edges };
}

/** Make an SVG element so many px wide and high. */
export function size(root, width, height) {
  for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) root.setAttribute(key, value);
}

/**
 * An SVG drawing as wide as the room it gets. draw(root, width) is called whenever that changes.
 * Returns { node, root, draw(), stop() }; draw() does nothing as long as the drawing is hidden.
 */
export function drawing(label, draw, kind = "") {
  const root = svg("svg", { class: `rx-chart ${kind}`, role: "img", "aria-label": label });
  const node = h("div", { class: "rx-holder" }, root);
  let last = 0;
  const now = () => {
    last = Math.floor(node.clientWidth);
    if (last > 0) draw(root, last);
  };
  const observer = new ResizeObserver(() => Math.floor(node.clientWidth) !== last && now());
  observer.observe(node);
  return { node, root, draw: now, stop: () => observer.disconnect() };
}

/** The SVG attributes of a net's line: { color, dash, width } as resnet_edu/figures/style.py has them, dash in widths. */
export const drawnLine = ({ color, dash, width }) => ({
  fill: "none",
  stroke: color,
  "stroke-width": width,
  "stroke-dasharray": dash.map((d) => (d * width).toFixed(1)).join(" ") || null,
});

/** A short piece of a net's line and its name, for legends and tables. */
export const named = (net) => [
  svg("svg", { class: "rx-swatch", width: 32, height: 10, "aria-hidden": "true" }, svg("path", { d: "M1 5H31", ...drawnLine(net) })),
  h("span", {}, net.net),
];

/** How many px labels at the ends of these nets' lines need. */
export const labelRoom = (nets) => 22 + 7.4 * Math.max(...nets.map((net) => net.net.length));

/** The nets' names beside the ends of their lines, which are at these heights (px), none over another. */
export function endLabels({ right, top, bottom }, nets, heights) {
  const places = spread(heights, 16, top + 4, bottom);
  return nets.map((net, i) => [
    svg("path", { d: `M${right} ${heights[i]}L${right + 9} ${places[i]}h5`, stroke: net.color, fill: "none" }),
    svg("text", { x: right + 18, y: places[i] + 4 }, net.net),
  ]);
}

/** A table whose box stays, with its focus and its scroll, when it is filled anew: { node, fill({ caption, columns, rows }) }. */
export function liveTable(label) {
  const node = h("div", { class: "rx-scroll rx-wrap", tabindex: "0", role: "region", "aria-label": label });
  return { node, fill: (content) => node.replaceChildren(table(content).firstChild) };
}

/** Set traits and send them to Python. */
export function put(model, change) {
  for (const [key, value] of Object.entries(change)) model.set(key, value);
  model.save_changes();
}

/** Call `f` when one of the traits (names, with spaces between) changes; returns a function that ends it. */
export function listen(model, traits, f) {
  const events = traits.split(" ").map((name) => `change:${name}`);
  events.forEach((event) => model.on(event, f));
  return () => events.forEach((event) => model.off(event, f));
}

/** Put the style of charts, and an explorer's own, where `el` is. */
export function addChartStyle(el, name, extra) {
  addStyle(el, "chart", STYLE);
  addStyle(el, name, extra);
}
