// The tracer's arithmetic for the nets of the paper: what resnet_edu.trace says of resnet_edu.models, without torch.
//
// A test runs hundreds of random settings through this file and through the tracer on the real nets, and compares every
// field of every row, and every error. Names and texts are therefore the package's and PyTorch's own.
//
// Sources: resnet_edu/nets (models.py, blocks.py, shapes.py), resnet_edu/tracing/run.py; He et al., CVPR 2016, Table 1 and section 4.2.

/** Blocks in each stage of the nets of Table 1, and whether they are bottlenecks. */
const IMAGENET = { 18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3] };

export const DEPTHS = {
  imagenet: [18, 34, 50, 101, 152],
  cifar: Array.from({ length: 18 }, (_, i) => 8 + 6 * i), // 8, 14, 20, ..., 110
};

export const SHORTCUTS = ["identity", "zero_pad", "projection", "projection_all"];

/** What each family is usually used with. */
export const DEFAULTS = {
  imagenet: { depth: 50, shortcut: "projection", stem: "imagenet", width: 64, num_classes: 1000, input: [3, 224, 224] },
  cifar: { depth: 20, shortcut: "zero_pad", stem: "cifar", width: 16, num_classes: 10, input: [3, 32, 32] },
};

export const hasBottlenecks = ({ family, depth }) => family === "imagenet" && depth >= 50;

/** (1, 3, 8, 8) -> "1x3x8x8" */
export const written = (shape) => shape.join("x") || "scalar";
const tuple = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** The size of a convolution's or a pooling's output along one side. */
export const outputSize = (size, kernel, stride = 1, padding = 0, dilation = 1) =>
  Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;

class Failure extends Error {
  constructor(type, text, path, kind, shapes, advice = "", tooSmall = "") {
    super(text);
    Object.assign(this, { type, path, kind, shapes, advice, tooSmall });
  }
}

/** What add_shortcut of blocks.py says of two shapes that cannot be added. */
function advice(main, shortcut) {
  const strides = [2, 3].map((i) => Math.ceil(shortcut[i] / main[i]));
  const stride = strides[0];
  if (strides[1] !== stride || [2, 3].some((i) => Math.ceil(shortcut[i] / stride) !== main[i])) {
    return "no shortcut reaches that height and width; check stride and padding of the main path";
  }
  const more = main[1] >= shortcut[1] ? " or shortcut='zero_pad' (option A)" : "";
  return `shortcut='projection' (option B)${more} with stride ${stride} would fit`;
}

/** What most rows are; the others say so. */
const USUAL = {
  kernel: null, stride: null, padding: null, dilation: null, groups: null, bias: null, params: 0, macs: 0,
  activation_bytes: 0, receptive_field: null, reused: false, main: null, shortcut: null, shortcut_kind: null,
  on_shortcut: false, note: "",
};

/** A net that is being run: rows are written down as the layers are called. */
export class Run {
  constructor(config) {
    this.config = config;
    this.rows = [];
    this.calls = new Map();
    this.params = this.macs = 0;
  }

  /** Write one row; x is { shape, field: { size, jump } or null, row }. Returns the value that comes out. */
  row(path, kind, inputs, shape, field, more = {}) {
    const call = this.calls.get(path) ?? 0;
    this.calls.set(path, call + 1);
    const { params = 0, macs = 0 } = more;
    this.params += params;
    this.macs += macs;
    const index = this.rows.length;
    this.rows.push({
      ...USUAL, index, path, call, kind, inputs: inputs.map((x) => x.shape), outputs: [shape],
      sources: inputs.map((x) => x.row), activation_bytes: 4 * product(shape), receptive_field: field?.size ?? null, ...more, cumulative_params: this.params, cumulative_macs: this.macs,
    });
    return { shape, field, row: index };
  }

  window(x, path, kind, channels, k, stride, padding, more) {
    const [batch, , height, width] = x.shape;
    const shape = [batch, channels, outputSize(height, k, stride, padding), outputSize(width, k, stride, padding)];
    const { size, jump } = x.field;
    const field = { size: size + (k - 1) * jump, jump: jump * stride };
    const each = (n) => [n, n];
    return this.row(path, kind, [x], shape, field, {
      kernel: each(k), stride: each(stride), padding: each(padding), dilation: each(1), ...more(shape),
    });
  }

  conv(x, path, channels, k, stride = 1, padding = (k - 1) / 2) {
    const weights = channels * x.shape[1] * k * k;
    return this.window(x, path, "Conv2d", channels, k, stride, padding, ([batch, , height, width]) => ({
      groups: 1, bias: false, params: weights, macs: batch * height * width * weights,
    }));
  }

  norm(x, path) {
    const [batch, channels, ...sides] = x.shape;
    if (this.config.mode === "train" && batch * product(sides) === 1) {
      const size = `torch.Size([${x.shape.join(", ")}])`;
      const text = `Expected more than 1 value per channel when training, got input size ${size}`;
      throw new Failure("ValueError", text, path, "BatchNorm2d", [x.shape]);
    }
    return this.row(path, "BatchNorm2d", [x], x.shape, x.field, { params: 2 * channels });
  }

  relu(x, path) {
    return this.row(path, "ReLU", [x], x.shape, x.field);
  }

  maxPool(x, path) {
    return this.window(x, path, "MaxPool2d", x.shape[1], 3, 2, 1, () => ({}));
  }

  /** The shortcut of a block: `x` itself, or what its layers make of it; `made` are their rows. */
  shortcut(x, path, channels, stride) {
    const kind = this.config.shortcut;
    const same = stride === 1 && x.shape[1] === channels;
    if (kind === "identity" || (same && kind !== "projection_all")) return x;
    if (kind === "zero_pad") {
      const [batch, , height, width] = x.shape;
      const shape = [batch, channels, Math.ceil(height / stride), Math.ceil(width / stride)];
      const field = { size: x.field.size, jump: x.field.jump * stride };
      const y = this.row(`${path}.downsample`, "zero_pad", [x], shape, field);
      return { ...y, made: [y.row] };
    }
    const y = this.conv(x, `${path}.downsample.0`, channels, 1, stride);
    const z = this.norm(y, `${path}.downsample.1`);
    return { ...z, made: [y.row, z.row] };
  }

  add(main, shortcut, path, block, x) {
    if (written(main.shape) !== written(shortcut.shape)) {
      const shapes = `the main path ${tuple(main.shape)} and the shortcut ${tuple(shortcut.shape)}`;
      const text = `cannot add ${shapes}: ${advice(main.shape, shortcut.shape)}`;
      throw new Failure("ShapeMismatchError", text, path, block, [x.shape]);
    }
    for (const row of shortcut.made ?? []) this.rows[row].on_shortcut = true; // known only when both branches have run
    const projected = this.config.shortcut.startsWith("projection");
    const kind = shortcut === x ? "identity" : projected ? "projection" : "zero_pad";
    return this.row(`${path}.add()`, "add", [main, shortcut], main.shape, main.field, {
      main: main.row, shortcut: shortcut.row, shortcut_kind: kind,
    });
  }

  block(x, path, width, stride) {
    const { residual, stride_on } = this.config;
    const deep = hasBottlenecks(this.config);
    const side = residual ? this.shortcut(x, path, deep ? 4 * width : width, stride) : null;
    const first = deep && stride_on === "3x3" ? 1 : stride;
    let y = this.norm(this.conv(x, `${path}.conv1`, width, deep ? 1 : 3, first), `${path}.bn1`);
    y = this.conv(this.relu(y, `${path}.relu`), `${path}.conv2`, width, 3, deep ? stride / first : 1);
    y = this.norm(y, `${path}.bn2`);
    if (deep) {
      y = this.conv(this.relu(y, `${path}.relu`), `${path}.conv3`, 4 * width, 1);
      y = this.norm(y, `${path}.bn3`);
    }
    if (residual) y = this.add(y, side, path, deep ? "Bottleneck" : "BasicBlock", x);
    return this.relu(y, `${path}.relu`);
  }

  head(x) {
    const { pool, num_classes } = this.config;
    const [batch, channels, ...sides] = x.shape;
    let y;
    if (pool) {
      const out = sides.map((side) => outputSize(side, pool));
      if (Math.min(...out) < 1) {
        const size = (shape) => `(${written([channels, ...shape])})`;
        const text = `Given input size: ${size(sides)}. Calculated output size: ${size(out)}. Output size is too small`;
        const short = `less than its kernel of ${pool}x${pool} (padding 0x0)`;
        throw new Failure("RuntimeError", text, "avgpool", "AvgPool2d", [x.shape], "", short);
      }
      y = this.window(x, "avgpool", "AvgPool2d", channels, pool, 1, 0, () => ({}));
    } else {
      y = this.row("avgpool", "AdaptiveAvgPool2d", [x], [batch, channels, 1, 1], null);
    }
    const values = product(y.shape) / batch;
    y = this.row("flatten()", "flatten", [y], [batch, values], null, { activation_bytes: 0 });
    if (values !== channels) {
      const shapes = `(${batch}x${values} and ${channels}x${num_classes})`;
      const text = `mat1 and mat2 shapes cannot be multiplied ${shapes}`;
      const why = ` (the layer takes ${channels} values, not ${values}: its input follows the image size)`;
      throw new Failure("RuntimeError", text, "fc", "Linear", [y.shape], why);
    }
    const weights = channels * num_classes;
    this.row("fc", "Linear", [y], [batch, num_classes], null, {
      bias: true, params: weights + num_classes, macs: batch * weights,
    });
  }
}

/** Name, rows and output of a part of the net that is drawn as one slab. */
function part(run, name, stage, first, isBlock) {
  const shape = run.rows.at(-1).outputs[0];
  return { name, stage, first, last: run.rows.length - 1, shape, isBlock };
}

/** Stage of each part as the paper calls it: conv1, conv2_x, ..., head. */
export const STAGES = ["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "head"];

/**
 * Run a net on shapes alone.
 *
 * config: { family, depth, residual, shortcut, stride_on, stem, width, pool, num_classes, mode, batch, input: [C, H, W] }
 * as the traits of NetworkExplorer. Returns
 * { model, input, rows, parts, params, macs, bytes, error }: rows as `Row.to_dict()` of the tracer; parts from left to
 * right; error is null or { path, kind, shapes, type, text, message }, and then the rows end before it.
 */
export function runNet(config) {
  const run = new Run(config);
  const input = [config.batch, ...config.input];
  const parts = [];
  let error = null;
  let name = "conv1";
  let stage = "conv1";
  let first = 0;
  const done = (isBlock) => {
    if (run.rows.length > first) parts.push(part(run, name, stage, first, isBlock));
    first = run.rows.length;
  };
  try {
    let x = { shape: input, field: { size: 1, jump: 1 }, row: "input" };
    const big = config.stem === "imagenet";
    x = run.relu(run.norm(run.conv(x, "conv1", config.width, big ? 7 : 3, big ? 2 : 1), "bn1"), "relu");
    done(false);
    if (big) {
      name = "maxpool";
      stage = "conv2_x";
      x = run.maxPool(x, "maxpool");
      done(false);
    }
    const n = (config.depth - 2) / 6;
    const layers = config.family === "imagenet" ? IMAGENET[config.depth] : [n, n, n];
    layers.forEach((count, i) => {
      stage = `conv${i + 2}_x`;
      for (let j = 0; j < count; j++) {
        name = `layer${i + 1}.${j}`;
        x = run.block(x, name, config.width * 2 ** i, i > 0 && j === 0 ? 2 : 1);
        done(true);
      }
    });
    name = stage = "head";
    run.head(x);
    done(false);
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    const block = /^layer/.test(name);
    done(block);
    error = describe(failure, input, name);
  }
  const bytes = run.rows.reduce((sum, row) => sum + row.activation_bytes, 0);
  return { model: "ResNet", input, rows: run.rows, parts, params: run.params, macs: run.macs, bytes, error };
}

/** The tracer's words for a failure. */
function describe(failure, input, part) {
  const { path, kind, shapes, type, advice: more, tooSmall, message: text } = failure;
  const where = `${path} (${kind})`;
  const message = tooSmall
    ? `input ${written(input.slice(1))} is too small: ${where} got ${written(shapes[0].slice(1))}, ${tooSmall}; ` +
      "use a larger input"
    : `ResNet fails for input ${written(input)} in ${where}, which got ${written(shapes[0])}: ${text}${more}`;
  return { path, kind, shapes, type, text, message, part };
}

/** A traced model as the class sends it ({ model, inputs, rows, parts }, defaults left out), in the form of runNet. */
export function expand({ model, inputs, rows, parts }) {
  let [params, macs, bytes] = [0, 0, 0];
  const full = rows.map((row, index) => {
    params += row.params ?? 0;
    macs += row.macs ?? 0;
    bytes += row.activation_bytes ?? 0;
    return { ...USUAL, sources: [], ...row, index, cumulative_params: params, cumulative_macs: macs };
  });
  return { model, input: inputs[0] ?? [], rows: full, parts, params, macs, bytes, error: null };
}
