// From numbers to drawings: the mean and the range over runs, scales, ticks, paths, labels that do not overlap.
// No DOM and no imports: tests/widgets/test_plot.py runs this file in V8 and compares it with NumPy and matplotlib.

/** Whether `v` is a number that can be drawn; a run that diverged has null. */
export const finite = (v) => typeof v === "number" && Number.isFinite(v);

/** Mean, least and greatest of the runs at each point; all three null where a run has no number. */
export function meanRange(runs) {
  const columns = runs[0].map((_, i) => runs.map((run) => run[i]));
  const over = (f) => columns.map((c) => (c.every(finite) ? f(c) : null));
  return {
    mean: over((c) => c.reduce((a, b) => a + b, 0) / c.length),
    low: over((c) => Math.min(...c)),
    high: over((c) => Math.max(...c)),
  };
}

/** The index of the value in ascending `sorted` that is nearest to `x`; of two equally near ones the first. */
export function nearest(sorted, x) {
  let best = 0;
  for (let i = 1; i < sorted.length; i++) if (Math.abs(sorted[i] - x) < Math.abs(sorted[best] - x)) best = i;
  return best;
}

/** A function from the domain [from, to] to pixels [a, b]; on a log scale, what is below `from` is put at `from`. */
export function scaler(kind, [from, to], [a, b]) {
  if (kind === "log") {
    const linear = scaler("linear", [Math.log10(from), Math.log10(to)], [a, b]);
    return (v) => linear(Math.log10(Math.max(v, from)));
  }
  return (v) => a + ((v - from) / (to - from || 1)) * (b - a);
}

/** Round values within low..high, 1, 2 or 5 times a power of ten apart: the closest that leave at most `count` gaps. */
export function ticks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const least = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(least) + 1e-9);
  const step = power * [1, 2, 5, 10].find((m) => m * power >= least * (1 - 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** Powers of ten within low..high, thinned out to about `count`; below two decades also 2 and 5 times them. */
export function logTicks(low, high, count = 6) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const every = Math.max(1, Math.ceil((last - first + 1) / count));
  const found = [];
  for (let k = first - 1; k <= last; k++) {
    for (const m of last - first < 2 ? [1, 2, 5] : [1]) {
      const v = Number((m * 10 ** k).toPrecision(6));
      if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9) && (m > 1 || (k - first) % every === 0)) found.push(v);
    }
  }
  return found;
}

/** The whole decades that hold all of `values` (positive ones count): [low, high], at least one decade. */
export function decades(values) {
  const logs = values.filter((v) => finite(v) && v > 0).map(Math.log10);
  if (!logs.length) return [0.1, 1];
  const low = Math.floor(Math.min(...logs) + 1e-9);
  return [10 ** low, 10 ** Math.max(low + 1, Math.ceil(Math.max(...logs) - 1e-9))];
}

const near = (v) => Math.round(v * 10) / 10; // a tenth of a pixel

/** The `d` of an SVG path through [x, y] points; a y of null interrupts it. */
export function line(points) {
  let pen = "M";
  return points
    .map(([x, y]) => {
      if (!finite(y)) return (pen = "M"), "";
      const part = `${pen}${near(x)} ${near(y)}`;
      pen = "L";
      return part;
    })
    .join("");
}

/** The `d` of the area between `low` and `high`, one closed piece for each stretch without a null. */
export function area(xs, low, high) {
  const pieces = [[]];
  xs.forEach((_, i) => (finite(low[i]) && finite(high[i]) ? pieces.at(-1).push(i) : pieces.push([])));
  return pieces
    .filter((p) => p.length > 1)
    .map((p) => `${line([...p.map((i) => [xs[i], high[i]]), ...p.reverse().map((i) => [xs[i], low[i]])])}Z`)
    .join("");
}

/** Places as near as can be to the wished ones, at least `gap` apart within low..high, in the same order. */
export function spread(wishes, gap, low, high) {
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[a] - wishes[b]);
  if (order.length > 1) gap = Math.min(gap, (high - low) / (order.length - 1));
  const start = ([sum, n]) => Math.min(Math.max(sum / n, low), high - (n - 1) * gap);
  const blocks = []; // [sum of the starts that its members wish for, members]
  for (const i of order) {
    blocks.push([wishes[i], 1]);
    while (blocks.length > 1 && start(blocks.at(-2)) + blocks.at(-2)[1] * gap > start(blocks.at(-1))) {
      const [sum, n] = blocks.pop();
      const below = blocks.at(-1);
      below[0] += sum - n * below[1] * gap;
      below[1] += n;
    }
  }
  const places = blocks.flatMap((b) => Array.from({ length: b[1] }, (_, k) => start(b) + k * gap));
  const result = [];
  order.forEach((i, k) => (result[i] = places[k]));
  return result;
}

/** A number for people: three significant digits, thousands apart, powers of ten for the very small and large. */
export function number(v, digits = 3) {
  if (!finite(v)) return "no number";
  const rounded = Number(v.toPrecision(digits));
  if (v !== 0 && (Math.abs(rounded) < 1e-3 || Math.abs(rounded) >= 1e6)) {
    const [lead, power] = v.toExponential(digits - 1).split("e").map(Number);
    const raised = String(power).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
    return `${lead === 1 ? "" : `${lead} · `}10${raised}`;
  }
  return rounded.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** Colour and dash of the lines of plain and of residual nets. */
export const NET_LINES = {
  plain: { color: "var(--rx-plain)", dash: [4, 1.6] },
  residual: { color: "var(--rx-residual)", dash: [] },
};

/** Per cent with the decimals that every table of the book has: two. */
export const percent = (v) => (finite(v) ? `${v.toFixed(2)}%` : "no number");
