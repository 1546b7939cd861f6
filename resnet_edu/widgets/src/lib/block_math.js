// One residual block in numbers: the layers of both branches with their shapes, parameters and multiply-adds, and what
// PyTorch says where the branches cannot be added. Plain functions, no page; the rules are those of
// `resnet_edu/blocks.py`, and tests/test_widget_block.py compares them with the traces of the real blocks.

export const SHORTCUTS = ["none", "identity", "zero_pad", "projection", "projection_all"];

const conv = (kernel, stride, cin, cout, size) => ({
  op: "conv",
  kernel,
  stride,
  shape: [cout, Math.ceil(size / stride), Math.ceil(size / stride)], // 3x3 with padding 1, or 1x1: both round up
  params: kernel ** 2 * cin * cout,
  macs: kernel ** 2 * cin * cout * Math.ceil(size / stride) ** 2,
});
const simple = (op, shape, params = 0) => ({ op, shape, params, macs: 0 });
const norm = (layer) => simple("norm", layer.shape, 2 * layer.shape[0]); // a scale and a shift for each channel
const sum = (layers, key) => layers.reduce((total, layer) => total + layer[key], 0);

/** The layers on the main path, the addition and what follows it left out. A bottleneck needs `cout` = 4 * width. */
function mainPath({ kind, cin, cout, size, stride }) {
  const plan =
    kind === "bottleneck"
      ? [[1, 1, cin, cout / 4], [3, stride, cout / 4, cout / 4], [1, 1, cout / 4, cout]]
      : [[3, stride, cin, cout], [3, 1, cout, cout]];
  const layers = [];
  for (const [kernel, step, from, to] of plan) {
    const layer = conv(kernel, step, from, to, layers.length ? layers.at(-1).shape[1] : size);
    if (layers.length) layers.push(simple("relu", layers.at(-1).shape));
    layers.push(layer, norm(layer));
  }
  return layers;
}

/** The layers on the shortcut; an identity has none. Throws the package's error for zero padding to fewer channels. */
function lanePath({ cin, cout, size, stride }, shortcut) {
  const same = stride === 1 && cin === cout;
  if (shortcut === "none" || shortcut === "identity" || (same && shortcut !== "projection_all")) return [];
  if (shortcut === "zero_pad") {
    if (cout < cin)
      throw new Error(
        `shortcut='zero_pad' can only add channels, but here ${cin} would become ${cout}; use shortcut='projection'`,
      );
    return [simple("pad", [cout, Math.ceil(size / stride), Math.ceil(size / stride)])];
  }
  const layer = conv(1, stride, cin, cout, size);
  return [layer, norm(layer)];
}

/**
 * What `+` of PyTorch makes of two shapes without batch: {error} in its own words, or {shape}. Where one side has size
 * 1 it is repeated in silence: then `broadcast` is true.
 */
export function add(a, b) {
  for (let i = a.length - 1; i >= 0; i--)
    if (a[i] !== b[i] && a[i] !== 1 && b[i] !== 1)
      return {
        error: `The size of tensor a (${a[i]}) must match the size of tensor b (${b[i]}) at non-singleton dimension ${i + 1}`,
      };
  return { shape: a.map((n, i) => Math.max(n, b[i])), broadcast: a.some((n, i) => n !== b[i]) };
}

/**
 * A block {kind: "basic" | "bottleneck", cin, cout, size, stride} with one of `SHORTCUTS`:
 * {main, lane, input, mainShape, laneShape, params, macs, error, broadcast, shape}.
 */
export function block(spec, shortcut) {
  const main = mainPath(spec);
  const [input, mainShape] = [[spec.cin, spec.size, spec.size], main.at(-1).shape];
  const result = { main, lane: [], input, mainShape, laneShape: null, error: null, broadcast: false, shape: mainShape };
  try {
    result.lane = lanePath(spec, shortcut);
    if (shortcut !== "none") {
      result.laneShape = result.lane.length ? result.lane.at(-1).shape : input;
      Object.assign(result, { shape: null }, add(mainShape, result.laneShape));
    }
  } catch (error) {
    Object.assign(result, { error: error.message, shape: null });
  }
  const all = [...main, ...result.lane];
  return { ...result, params: sum(all, "params"), macs: sum(all, "macs") };
}

/** Every shortcut of one block, in the order of `SHORTCUTS`. */
export const compare = (spec) => SHORTCUTS.map((shortcut) => ({ shortcut, ...block(spec, shortcut) }));
