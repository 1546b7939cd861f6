// A reader's ranking beside the measured one. No DOM and no imports: tests/widgets/test_plot.py runs it in V8.

const CLEAR = 1; // percentage points, as in resnet_edu/experiment/statistics.py: a smaller gap between single runs is called none

/** `list` with the item at `i` moved by `by` places (-1: up); where there is no such place, the list as it is. */
export function moved(list, i, by) {
  const j = i + by;
  if (j < 0 || j >= list.length) return list;
  const copy = [...list];
  [copy[i], copy[j]] = [copy[j], copy[i]];
  return copy;
}

/**
 * Whether two nets can be told apart by their final values {mean, low, high, runs}: from three runs each on, if the
 * ranges do not overlap; with fewer, if a point or more lies between the means. A net without a number is the worst.
 */
export function apart(a, b) {
  if (a.mean === null || b.mean === null) return a.mean !== b.mean;
  if (Math.min(a.runs, b.runs) >= 3) return a.high < b.low || b.high < a.low;
  return Math.abs(a.mean - b.mean) >= CLEAR;
}

/**
 * Judge `guess`, names from the lowest value to the highest, by `finals`: {name: {mean, low, high, runs}}.
 *
 * Returns {pairs, right, order, wrong}: how many pairs can be told apart, how many of them stand in the right order,
 * the names as measured, and the pairs [lower, higher] that the guess has the other way round.
 */
export function judge(guess, finals) {
  const value = (name) => finals[name].mean ?? Infinity;
  const order = [...guess].sort((a, b) => (value(a) === value(b) ? 0 : value(a) - value(b)));
  const wrong = [];
  let pairs = 0;
  order.forEach((low, i) =>
    order.slice(i + 1).forEach((high) => {
      if (!apart(finals[low], finals[high])) return;
      pairs += 1;
      if (guess.indexOf(low) > guess.indexOf(high)) wrong.push([low, high]);
    }),
  );
  return { pairs, right: pairs - wrong.length, order, wrong };
}
