// The axes of a chart, with grid and titles, as SVG in real pixels, so that letters keep their size on a phone.
import { logTicks, number, scaler, ticks } from "./plot.js";
import { addStyle } from "./style.js";
import { svg } from "./ui.js";

const LETTER = 7.2; // px, a wide guess for one letter of the axes' 12 px type
const TOP = 30;
const BOTTOM = 42;

/**
 * Draw the axes of a chart of `width` x `height` px into `root` (an SVG element, which is emptied).
 *
 * x, y: {kind: "linear" or "log", domain: [from, to], title, format, whole}; x is always linear. On a log axis of `y`
 *       with `zero: true` the lowest tick is called 0, since that is where a value of 0 is drawn.
 * right: px kept free to the right of the plot, for labels.
 * Returns {sx, sy, left, right, top, bottom, layer}: scales to px, the plot's edges, and a group to draw in.
 */
export function axes(root, { width, height, x, y, right = 12 }) {
  const name = (axis, v) => (axis.format ?? number)(v);
  const yTicks = y.kind === "log" ? logTicks(...y.domain) : ticks(...y.domain);
  const yNames = yTicks.map((v) => (y.zero && v === y.domain[0] ? "0" : name(y, v)));
  const left = Math.ceil(Math.max(...yNames.map((t) => t.length)) * LETTER) + 12;
  const edges = { left, right: width - right, top: TOP, bottom: height - BOTTOM };
  const sx = scaler("linear", x.domain, [edges.left, edges.right]);
  const sy = scaler(y.kind, y.domain, [edges.bottom, edges.top]);

  const room = Math.max(2, Math.floor((edges.right - edges.left) / (LETTER * 8)));
  const xTicks = ticks(...x.domain, Math.min(6, room)).filter((v) => !x.whole || Number.isInteger(v));
  const layer = svg("g");
  root.replaceChildren(
    svg(
      "g",
      { class: "rx-axes", "aria-hidden": "true" },
      yTicks.map((v, i) => [
        svg("line", { x1: edges.left, x2: edges.right, y1: sy(v), y2: sy(v) }),
        svg("text", { x: edges.left - 7, y: sy(v) + 4, "text-anchor": "end" }, yNames[i]),
      ]),
      xTicks.map((v) => svg("text", { x: sx(v), y: edges.bottom + 18, "text-anchor": "middle" }, name(x, v))),
      svg("path", { class: "rx-axis", d: `M${edges.left} ${edges.top}V${edges.bottom}H${edges.right}` }),
      svg("text", { x: 0, y: 14, class: "rx-axis-title" }, y.title),
      svg("text", { x: edges.right, y: height - 6, "text-anchor": "end" }, x.title),
    ),
    layer,
  );
  root.setAttribute("width", width);
  root.setAttribute("height", height);
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return { sx, sy, layer, ...edges };
}

/** Call `draw(width)` once and again whenever the width of `box` changes; returns a function that ends it. */
export function onWidth(box, draw) {
  let last = 0;
  const look = () => {
    const width = Math.floor(box.clientWidth);
    if (width > 0 && width !== last) draw((last = width));
  };
  const observer = new ResizeObserver(look);
  observer.observe(box);
  look();
  return () => observer.disconnect();
}

/** The SVG attributes of a net's line: { color, dash, width } as resnet_edu/figure.py has them, dash in widths. */
export const drawnLine = ({ color, dash, width }) => ({
  fill: "none",
  stroke: color,
  "stroke-width": width,
  "stroke-dasharray": dash.map((d) => (d * width).toFixed(1)).join(" ") || null,
});

/** A short piece of a net's line, for a legend. */
export const swatch = (net) =>
  svg("svg", { class: "rx-swatch", width: 32, height: 10, "aria-hidden": "true" }, svg("path", { d: "M1 5H31", ...drawnLine(net) }));

const STYLE = `
.rx-holder{min-width:0;margin:.2rem 0 .4rem}
.rx svg.rx-chart{touch-action:pan-y;user-select:none}
.rx-chart text{font-size:12.5px}
.rx-axes line{stroke:var(--rx-line);stroke-width:1}
.rx-axes text{fill:var(--rx-muted)}
.rx-axes .rx-axis-title{fill:var(--rx-ink);font-weight:600}
.rx-axis{fill:none;stroke:var(--rx-strong-line)}
.rx-band{opacity:.2}
.rx-later{opacity:.28}
.rx-cursor{stroke:var(--rx-ink);stroke-width:1.2;fill:none}
.rx-dot,.rx-mark{stroke:var(--rx-paper);stroke-width:1.5}
.rx-swatch{display:inline-block!important;vertical-align:middle;margin-right:.45rem;flex:none}
.rx-story{min-height:2.9em}`;

/** Put the style of charts, and an explorer's own, where `el` is. */
export const addChartStyle = (el, name, extra) => {
  addStyle(el, "chart", STYLE);
  if (extra) addStyle(el, name, extra);
};
