// The arithmetic of a convolution or pooling along one side, and of a stack of them: plain functions, no page.
// A layer is {op: "conv" | "pool", kernel, stride, padding, dilation}; the dilation of a pooling is 1. The same rules are
// in `resnet_edu/nets/shapes.py`, and tests/widgets/test_convolution.py runs both beside PyTorch.

/** How many pixels the kernel reaches over, the holes of a dilated one included. */
export const reach = (layer) => layer.dilation * (layer.kernel - 1) + 1;

/** The number of places that the kernel can take; 0 or less where it does not fit. */
const places = (size, layer) => Math.floor((size + 2 * layer.padding - reach(layer)) / layer.stride) + 1;

/** PyTorch's own words (for one channel) where a layer cannot take `size` x `size` pixels; null where it can. */
export function refusal(size, layer) {
  const { padding, kernel } = layer;
  if (layer.op === "pool") {
    if (padding > Math.floor(kernel / 2))
      return `pad should be at most half of effective kernel size, but got pad=${padding}, kernel_size=${kernel} and dilation=1`;
    const out = places(size, layer);
    return out < 1
      ? `Given input size: (1x${size}x${size}). Calculated output size: (1x${out}x${out}). Output size is too small`
      : null;
  }
  const [padded, window] = [size + 2 * padding, reach(layer)];
  return padded < window
    ? `Calculated padded input size per channel: (${padded} x ${padded}). Kernel size: (${window} x ${window}). Kernel size can't be greater than actual input size`
    : null;
}

/** The output size, or null where PyTorch refuses. */
export const outputSize = (size, layer) => (refusal(size, layer) ? null : places(size, layer));

/** The input positions that output number `index` reads, from left to right; outside of 0..size-1 is padding. */
export const taps = (index, layer) =>
  Array.from({ length: layer.kernel }, (_, i) => index * layer.stride - layer.padding + i * layer.dilation);

/** The input positions that no window reads: between the windows of a large stride, or after a step that did not fit. */
export function unread(size, layer) {
  const read = new Set();
  for (let o = (outputSize(size, layer) ?? 0) - 1; o >= 0; o--) for (const p of taps(o, layer)) read.add(p);
  return Array.from({ length: size }, (_, p) => p).filter((p) => !read.has(p));
}

/**
 * Every layer of a stack on an image of `size` pixels: {size, error, field, jump, start}, as `ReceptiveField`.
 * Begins with the image itself. After a layer that PyTorch refuses, `size` is null and there is no further entry.
 */
export function walk(size, layers) {
  const rows = [{ size, error: null, field: 1, jump: 1, start: 0 }];
  for (const layer of layers) {
    const below = rows.at(-1);
    const error = refusal(below.size, layer);
    const span = reach(layer) - 1;
    rows.push({
      size: error ? null : places(below.size, layer),
      error,
      field: below.field + span * below.jump,
      jump: below.jump * layer.stride,
      start: below.start + (span / 2 - layer.padding) * below.jump,
    });
    if (error) break;
  }
  return rows;
}

/** Positions as runs of neighbours: [0, 1, 2, 5] -> [[0, 2], [5, 5]]. They must ascend. */
export function runs(positions) {
  const found = [];
  for (const p of positions) {
    if (found.length && p === found.at(-1)[1] + 1) found.at(-1)[1] = p;
    else found.push([p, p]);
  }
  return found;
}

/**
 * What output number `index` of the last layer sees, level by level: the last entry is [index] itself, the first the
 * pixels of the image. Padding is left out; so a value at the border sees less than the receptive field.
 */
export function seen(index, layers, sizes) {
  const levels = [[index]];
  for (let i = layers.length - 1; i >= 0; i--) {
    const positions = new Set(levels[0].flatMap((o) => taps(o, layers[i])));
    levels.unshift([...positions].filter((p) => p >= 0 && p < sizes[i]).sort((a, b) => a - b));
  }
  return levels;
}
