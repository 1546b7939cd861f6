// A net as slabs, drawn to scale: height and depth of a slab follow H and W of the map, its thickness the channels.
//
// drawing({ onhover, onselect }) -> { node, set(view) }; one SVG, whose slabs are buttons with one tab stop.

import { h, patch, svg } from "./ui.js";
import style from "./slabs.css";

const [WIDTH, TOP, MIDDLE, FLOOR] = [740, 8, 104, 200];
const TALLEST = 150; // pixels of the drawing for the largest side of a map
const THICKEST = 54;
const SLANT = [0.34, 0.2]; // where one pixel of depth goes: to the right, and up

/** C, H and W of a shape: a vector is a map of one pixel. */
function chw(shape) {
  const rest = shape.slice(1);
  if (rest.length >= 3) return [rest[0], rest.at(-2), rest.at(-1)];
  return rest.length === 2 ? [rest[1], rest[0], 1] : [rest[0] ?? 1, 1, 1];
}

const label = (shape) => chw(shape).join("×");

/** The groups of items that stand together: [{ name, first, last, shape, width }], the shape of the last one, the label's width. */
function groupsOf(items) {
  const groups = [];
  items.forEach((item, i) => {
    if (!i || item.group !== items[i - 1].group) groups.push({ name: item.group, first: i });
    Object.assign(groups.at(-1), { last: i, shape: item.shape });
  });
  for (const group of groups) group.width = Math.max(7.8 * group.name.length, 7.3 * label(group.shape).length) + 8;
  return groups;
}

/** Where each slab stands: [{ x, t, tall, dx, dy }], all of them within WIDTH; groups as far apart as their labels need. */
function layout(items) {
  const maps = items.map((item) => chw(item.shape));
  const side = Math.max(...maps.map(([, H, W]) => Math.max(H, W)));
  const scale = TALLEST / side;
  const groups = groupsOf(items);
  const overhang = Math.max(...maps.map(([, , W], i) => (i > maps.length - 4 ? W * scale * SLANT[0] : 0)));
  const room = WIDTH - 24 - overhang;
  const channels = maps.reduce((sum, [C]) => sum + C, 0);
  const [near, far] = [Math.min(7, (room * 0.35) / items.length), 16];
  const most = Math.max(...maps.map(([C, H, W]) => (H * W > 1 ? C : 1)), channels / 20); // of maps, not of vectors
  let [thick, gaps, widths, breaks, edge] = [THICKEST / most, 0, [], [], 0];
  for (let round = 0; round < 4; round++) { // thinner slabs need wider gaps for their labels, and these thinner slabs
    widths = maps.map(([C]) => Math.max(1.2, C * thick));
    const spare = groups.map(({ first, last, width }) => width - widths.slice(first, last + 1).reduce((a, b) => a + b, near * (last - first)));
    breaks = spare.slice(1).map((more, i) => Math.max(far, (more + spare[i]) / 2));
    edge = Math.max(0, spare[0] / 2 - 12);
    gaps = edge + near * (items.length - groups.length) + breaks.reduce((a, b) => a + b, Math.max(0, spare.at(-1) / 2 - overhang - 12));
    thick = Math.min(THICKEST / most, Math.max(0, room - gaps - items.length) / channels);
  }
  const used = widths.reduce((a, b) => a + b, 0) + gaps;
  const stretch = Math.max(1, Math.min(3, 1 + (room - used) / Math.max(1, gaps)));
  let x = 12 + edge;
  return maps.map(([, H, W], i) => {
    if (i) x += (items[i].group === items[i - 1].group ? near : breaks.shift()) * stretch;
    const place = {
      x, t: widths[i], tall: Math.max(1.5, H * scale), dx: W * scale * SLANT[0], dy: W * scale * SLANT[1],
    };
    x += widths[i];
    return place;
  });
}

/** Places of labels of these widths near `wished`, none over another, within the drawing. */
function spread(wished, widths) {
  const apart = (i) => (widths[i] + widths[i + 1]) / 2;
  const placed = [];
  wished.forEach((x, i) => placed.push(Math.max(x, i ? placed[i - 1] + apart(i - 1) : widths[0] / 2)));
  for (let i = placed.length - 1; i >= 0; i--) {
    placed[i] = Math.min(placed[i], i + 1 < placed.length ? placed[i + 1] - apart(i) : WIDTH - widths[i] / 2);
  }
  return placed;
}

const round = (v) => Math.round(v * 10) / 10;
const path = (...points) => `M${points.map(([x, y]) => `${round(x)} ${round(y)}`).join("L")}Z`;

function makeSlab(handlers) {
  const shapes = ["top", "side", "front"].map((name) => svg("path", { class: `rx-${name}` }));
  const hit = svg("rect", { class: "rx-hit", y: TOP - 6, height: FLOOR - TOP + 12, rx: 3 });
  const onhover = () => handlers.onhover(slab.item);
  const onclick = () => handlers.onselect(slab.item);
  const node = svg("g", { class: "rx-slab", role: "button", onpointerenter: onhover, onfocus: onhover, onclick }, shapes, hit);
  const slab = { node, shapes, hit, item: null };
  return slab;
}

export function drawing({ onhover, onselect }) {
  const slabs = [];
  const body = svg("g");
  const arcs = svg("g", { class: "rx-arcs" });
  const names = svg("g", { class: "rx-names", "aria-hidden": "true" });
  const root = svg("svg", {
    viewBox: `0 0 ${WIDTH} 262`, role: "group", class: "rx-drawing",
    onkeydown(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1, Home: -shown.length, End: shown.length }[event.key];
      if (by) slabs[Math.min(shown.length - 1, Math.max(0, stop + by))].node.focus();
      else if (event.key === "Enter" || event.key === " ") onselect(shown[stop]);
      else return;
      event.preventDefault();
    },
    onfocusin(event) {
      const at = slabs.findIndex((slab) => slab.node === event.target);
      if (at < 0) return;
      patch(slabs[stop].node, { tabindex: -1 });
      stop = at;
      patch(slabs[stop].node, { tabindex: 0 });
    },
  }, arcs, body, names);
  let stop = 0; // the slab that the tab key reaches
  let shown = [];

  /** items: [{ name, group, shape, words, arc: "" | "same" | "changed", bad }], from left to right. */
  function set(items, title) {
    shown = items;
    patch(root, { "aria-label": title });
    while (slabs.length < items.length) slabs.push(makeSlab({ onhover, onselect }));
    stop = Math.min(stop, items.length - 1);
    const places = layout(items);
    items.forEach((item, i) => {
      const { x, t, tall, dx, dy } = places[i];
      const [slab, y, base] = [slabs[i], MIDDLE + dy / 2 - tall / 2, MIDDLE + dy / 2 + tall / 2];
      slab.item = item;
      const [front, right] = [x, x + t];
      const faces = [
        path([front, y], [front + dx, y - dy], [right + dx, y - dy], [right, y]),
        path([right, y], [right + dx, y - dy], [right + dx, base - dy], [right, base]),
        path([front, y], [right, y], [right, base], [front, base]),
      ];
      slab.shapes.forEach((shape, k) => patch(shape, { d: faces[k] }));
      const [left, end] = [i ? (places[i - 1].x + places[i - 1].t + x) / 2 : x - 6, i + 1 < items.length ? (right + places[i + 1].x) / 2 : right + 6];
      patch(slab.hit, { x: round(left), width: round(Math.max(1, end - left)) });
      patch(slab.node, {
        class: `rx-slab${item.bad ? " rx-bad" : ""}${item.image ? " rx-image" : ""}`, "aria-label": item.words, tabindex: i === stop ? 0 : -1,
        "aria-pressed": item.open ? "true" : "false",
      });
      if (!slab.node.isConnected) body.append(slab.node);
      places[i].base = base;
    });
    for (const slab of slabs.slice(items.length)) slab.node.remove();
    arcs.replaceChildren(...items.flatMap((item, i) => {
      if (!item.arc || !i) return [];
      const [from, to] = [places[i - 1], places[i]];
      const [a, b] = [from.x + from.t / 2, to.x + to.t / 2];
      const deep = Math.max(from.base, to.base) + Math.min(20, 8 + (b - a) / 4);
      const d = `M${round(a)} ${round(from.base + 1)}C${round(a)} ${round(deep)} ${round(b)} ${round(deep)} ${round(b)} ${round(to.base + 1)}`;
      return svg("path", { d, class: `rx-arc${item.arc === "changed" ? " rx-changed" : ""}` });
    }));
    labels(items, places);
  }

  function labels(items, places) {
    const groups = groupsOf(items);
    const widths = groups.map(({ width }) => width);
    const wished = groups.map(({ first, last }) => (places[first].x + places[last].x + places[last].t) / 2);
    const at = spread(wished, widths);
    names.replaceChildren(...(widths.reduce((a, b) => a + b) > WIDTH ? [] : groups.flatMap(({ name, first, last, shape }, i) => [
      svg("path", {
        class: "rx-lead",
        d: `M${round(places[first].x)} ${FLOOR + 8}H${round(places[last].x + places[last].t)}M${round(wished[i])} ${FLOOR + 8}L${round(at[i])} ${FLOOR + 22}`,
      }),
      svg("text", { x: round(at[i]), y: FLOOR + 36, "text-anchor": "middle" }, name),
      svg("text", { x: round(at[i]), y: FLOOR + 52, "text-anchor": "middle", class: "rx-small" }, label(shape)),
    ])));
  }

  return {
    node: h("div", { class: "rx-scroll rx-stage", tabindex: "0", role: "region", "aria-label": "Drawing, can be scrolled" }, root),
    set,
    focus: (name) => slabs.find((slab) => slab.item.name === name).node.focus(),
    /** Light up the slab of one item; null for none. */
    light(name) {
      for (const slab of slabs) slab.node.classList.toggle("rx-lit", slab.item?.name === name && slab.node.isConnected);
    },
  };
}

export { style };
