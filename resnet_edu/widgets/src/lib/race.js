// What the training laboratory draws: curves that grow, and a card for each net with what is going on inside it.
import { axes, drawing, drawnLine, endLabels, labelRoom, named, size } from "./chart.js";
import { finite, line, number, percent, scaler } from "./plot.js";
import { h, patch, say, svg, thousands } from "./ui.js";

const PANEL = 46; // px, the height of a row of bars
const NARROW = 380; // px of a card, where pictures of 8 pixels would be too small in rows of 16
const LABELS = 480; // px, from this width on the lines' ends carry names

/** Curves over training steps. domain(values) -> [from, to]. Returns { node, root, fill(curves, last), stop() }. */
export function lineChart(label, { title, kind = "linear", domain }) {
  let curves = [];
  let last = 1;
  let drawn = null; // { key, plot, paths, names } of the axes that are there
  let room = 0; // px: asking the page for it in every frame would make it lay out itself anew
  function update(root, width) {
    room = width;
    const values = curves.flatMap(({ points }) => points.map(([, v]) => v)).filter(finite);
    const range = domain(values);
    const key = [width, range, last, curves.map(({ net }) => net.net)].join();
    if (drawn?.key !== key) {
      const right = width >= LABELS ? labelRoom(curves.map(({ net }) => net)) : 14;
      const x = { domain: [0, last], title: "training steps", whole: true, format: thousands };
      const plot = axes(root, { width, height: Math.max(200, Math.min(270, Math.round(width * 0.62))), right, x, y: { kind, domain: range, title } });
      const paths = curves.map(({ net }) => svg("path", { class: "rx-lab-curve", ...drawnLine(net) }));
      const names = svg("g");
      plot.layer.append(...paths, names);
      drawn = { key, plot, paths, names };
    }
    const { plot, paths, names } = drawn;
    const shown = [];
    curves.forEach(({ net, points }, i) => {
      const places = points.map(([step, v]) => [plot.sx(step), finite(v) ? Math.max(plot.sy(v), plot.top) : null]);
      patch(paths[i], { d: line(places) });
      const end = places.filter(([, y]) => y !== null).at(-1);
      if (end && width >= LABELS) shown.push([net, end[1]]);
    });
    names.replaceChildren(...endLabels(plot, shown.map(([net]) => net), shown.map(([, y]) => y)).flat());
  }
  const view = drawing(label, update);
  return {
    ...view,
    fill(next, end) {
      [curves, last] = [next, end];
      if (room) update(view.root, room);
    },
  };
}

/** The `d` of bars side by side, each with a height of 0 to 1; what is no number has none. */
function bars(shares, width, top) {
  const pitch = width / shares.length;
  return shares.map((share, i) => (finite(share) && share > 0
    ? `M${((i + 0.5) * pitch).toFixed(1)} ${top + PANEL}V${(top + PANEL * (1 - Math.min(1, share))).toFixed(1)}` : "")).join("");
}

/** The weights of the first layer as one picture for each unit, 8 x 8 pixels, `most` in a row: grey is zero, white the largest. */
function drawFilters(canvas, weights, most) {
  const units = weights.length / 64;
  const columns = Math.min(most, units);
  const rows = Math.ceil(units / columns);
  if (canvas.width !== columns * 9 - 1 || canvas.height !== rows * 9 - 1) [canvas.width, canvas.height] = [columns * 9 - 1, rows * 9 - 1];
  const picture = new ImageData(canvas.width, canvas.height);
  let largest = 1e-30;
  for (const w of weights) largest = Math.max(largest, Math.abs(w));
  for (let unit = 0; unit < units; unit++) {
    const [left, top] = [(unit % columns) * 9, Math.floor(unit / columns) * 9];
    for (let p = 0; p < 64; p++) {
      const at = 4 * ((top + Math.floor(p / 8)) * canvas.width + left + (p % 8));
      picture.data.fill(128 + 127 * (weights[unit * 64 + p] / largest), at, at + 3);
      picture.data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/**
 * A card with what is inside one net. Returns { node, fill(lane, [gradients, outputs]), say(lane), stop() }: the two
 * ranges, of the bars' logarithmic scale, are the same for all nets; say() tells the pictures in words.
 */
export function netCard(net, count) {
  const titles = [0, 1, 2].map((i) => svg("text", { x: 0, y: 13 + i * (PANEL + 26), class: "rx-lab-name" }));
  const rows = titles.map(() => svg("path", { fill: "none", stroke: net.color }));
  const rests = [svg("path", { fill: "none", class: "rx-lab-x" })]; // of the branch's share: the other share, that of x
  const tops = titles.map((_, i) => 20 + i * (PANEL + 26));
  const strip = svg("g", { class: "rx-lab-strip" });
  const foot = tops[2] + PANEL + 20;
  let lane = { step: 0 };
  let ranges = [[0.1, 1], [0.1, 1]];
  let room = 0;
  const update = (root, width) => {
    room = width;
    if (!root.firstChild) root.append(...titles, ...rests, ...rows, strip);
    if (root.getAttribute("width") !== String(width)) size(root, width, foot + 62);
    const sizes = lane.sizes ?? { gradients: [], outputs: [], branches: [] };
    [["Gradient", "gradients"], ["Output", "outputs"]].forEach(([name, key], i) => {
      const scale = scaler("log", ranges[i], [0, 1]);
      say(titles[i], `${name}, layer by layer (${ranges[i].map((v) => number(v)).join(" to ")})`);
      const shares = sizes[key].map((v) => (finite(v) ? Math.max(0.02, scale(v)) : 0));
      patch(rows[i], { d: bars(shares, width, tops[i]), "stroke-width": Math.max(1, (0.75 * width) / (shares.length || 1)) });
    });
    const branches = sizes.branches.map((pair) => (pair ? pair[0] / (pair[0] + pair[1]) : 1));
    say(titles[2], net.kind === "plain" ? "F(x), block by block: nothing is added to it" : "F(x) beside x (grey), block by block");
    const thick = Math.max(1, (0.75 * width) / (branches.length || 1));
    patch(rests[0], { d: bars(branches.map((v) => (finite(v) ? 1 : 0)), width, tops[2]), "stroke-width": thick });
    patch(rows[2], { d: bars(branches, width, tops[2]), "stroke-width": thick });
    drawStrip(width);
  };
  const view = drawing("", update, "rx-lab-inside");

  /** For each digit, how many of its training images are recognised, and what the others are mostly taken for. */
  function drawStrip(width) {
    const key = lane.confusion && [width, lane.confusion].join(); // a report brings a copy, mostly of the same counts
    if (!key || strip.key === key) return;
    strip.key = key;
    const pitch = width / 10;
    strip.replaceChildren(svg("text", { x: 0, y: foot - 3, class: "rx-lab-name" }, "Digits recognised (red: taken for …)"), ...digits(lane.confusion).map(({ right, other }, digit) => {
      const x = digit * pitch;
      return svg("g", {},
        svg("rect", { x, y: foot + 6, width: pitch - 3, height: 22, fill: "var(--rx-wrong)" }),
        svg("rect", { x, y: foot + 6, width: pitch - 3, height: 22 * right, fill: net.color }),
        svg("text", { x: x + (pitch - 3) / 2, y: foot + 42, "text-anchor": "middle" }, String(digit)),
        right < 0.5 && svg("text", { x: x + (pitch - 3) / 2, y: foot + 56, "text-anchor": "middle", class: "rx-lab-taken" }, `→${other}`));
    }));
  }

  const filters = h("canvas", { role: "img", class: "rx-lab-filters", "aria-label": `The first layer's weights of ${net.net}` });
  const node = h("div", { class: "rx-lab-card", role: "group", "aria-label": net.net },
    h("div", { class: "rx-lab-head" }, named(net), h("span", { class: "rx-unit" }, ` ${thousands(count)} parameters`)),
    view.node, h("div", { class: "rx-lab-caption" }, "First layer: what each unit looks for"), filters);
  return {
    node,
    stop: view.stop,
    fill(next, nextRanges) {
      [lane, ranges] = [next, nextRanges];
      if (room) update(view.root, room);
      if (lane.filters) drawFilters(filters, lane.filters, room < NARROW ? 8 : 16);
    },
    say({ sizes, confusion, step }) {
      if (!sizes) return patch(view.root, { "aria-label": `${net.net} before training` });
      const ends = (list) => `${number(list[0])} at the first layer, ${number(list.at(-1))} at the last`;
      const shares = sizes.branches.filter(Boolean).map(([f, x]) => f / (f + x));
      const branch = shares.length ? ` Share of the branch: ${percent(100 * shares[0])} in the first block, ${percent(100 * shares.at(-1))} in the last.` : "";
      const known = digits(confusion).map(({ right }, digit) => `${digit} ${Math.round(100 * right)}%`).join(", ");
      return patch(view.root, { "aria-label": `${net.net} after ${step} steps. Gradient ${ends(sizes.gradients)}. Output ${ends(sizes.outputs)}.${branch} Recognised: ${known}` });
    },
  };
}

/** From counts (true digit by row, taken for by column): for each digit its share of right ones, and the commonest other. */
export function digits(counts) {
  return Array.from({ length: 10 }, (_, digit) => {
    const row = counts.slice(10 * digit, 10 * digit + 10);
    const others = row.map((n, i) => (i === digit ? -1 : n));
    return { right: row[digit] / row.reduce((a, b) => a + b, 0), other: others.indexOf(Math.max(...others)) };
  });
}
