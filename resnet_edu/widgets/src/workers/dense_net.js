// Fully connected nets that train in plain JavaScript: forward, backward, batch norm, SGD with momentum.
//
// An engine of our own: TensorFlow.js 4.22, compressed, is 366 KB in a page, and ConvNetJS has no batch norm.
//
// Matrices are typed arrays, row by row, with the shapes of PyTorch: a batch is (images, features), a weight (outputs,
// inputs). Values are kept in float32; sums are made in double precision, JavaScript's own. No DOM and no imports:
// tests/widgets/test_training_engine.py runs this file in V8 beside PyTorch.
//
// Sources
//   He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2: the first weights.
//   Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2, and the gradients of section 3.
//   He et al., "Deep Residual Learning", CVPR 2016, figure 2: the block. "Identity Mappings in Deep Residual Networks",
//   ECCV 2016, figure 4(e): pre-activation. Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1: the
//   last scale of each block begins at zero.

export const PIXELS = 64;
export const CLASSES = 10;
const EPS = 1e-5; // these two as PyTorch's defaults
const RUNNING = 0.1;
const MOMENTUM = 0.9;

/** A generator of uniform numbers in [0, 1) from a whole number: mulberry32. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal numbers from uniform ones: Box and Muller. */
const normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** A random order of 0..n-1: Fisher and Yates. */
export function shuffled(n, random) {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/**
 * y (m, n) = a (m, k) times the transpose of b (n, k); n is even. Four rows of a meet two of b at a time: eight sums
 * stay in registers, which makes it three times as fast as one sum after the other.
 */
export function product(a, b, y, m, n, k) {
  const blocks = m - (m % 4);
  for (let r = 0; r < blocks; r += 4) {
    for (let c = 0; c < n; c += 2) {
      let a0 = r * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k, b0 = c * k, b1 = b0 + k;
      let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
      for (let i = 0; i < k; i++) {
        const u = b[b0++], v = b[b1++], w = a[a0++], x = a[a1++], p = a[a2++], q = a[a3++];
        s00 += w * u; s01 += w * v; s10 += x * u; s11 += x * v;
        s20 += p * u; s21 += p * v; s30 += q * u; s31 += q * v;
      }
      const at = r * n + c;
      y[at] = s00; y[at + 1] = s01; y[at + n] = s10; y[at + n + 1] = s11;
      y[at + 2 * n] = s20; y[at + 2 * n + 1] = s21; y[at + 3 * n] = s30; y[at + 3 * n + 1] = s31;
    }
  }
  for (let r = blocks; r < m; r++) {
    for (let c = 0; c < n; c++) {
      let s = 0;
      for (let i = 0; i < k; i++) s += a[r * k + i] * b[c * k + i];
      y[r * n + c] = s;
    }
  }
}

/** y (n, m) = the transpose of a (m, n). */
function transpose(a, y, m, n) {
  for (let r = 0; r < m; r++) for (let c = 0, at = r * n; c < n; c++) y[c * m + r] = a[at + c];
}

/** The root mean square of the first `size` values. */
export function rms(values, size = values.length) {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += values[i] * values[i];
  return Math.sqrt(sum / size);
}

/** Numbers that are trained: their values, gradients and velocities. */
class Parameter {
  constructor(size, Floats) {
    this.value = new Floats(size);
    this.grad = new Floats(size);
    this.velocity = new Floats(size);
  }

  /** One update of SGD with momentum, as PyTorch has it. */
  update(rate) {
    const { value, grad, velocity } = this;
    for (let i = 0; i < value.length; i++) {
      velocity[i] = MOMENTUM * velocity[i] + grad[i];
      value[i] -= rate * velocity[i];
    }
  }
}

/** y = x times the transpose of the weight, plus a bias where there is one. */
class Linear {
  constructor(inputs, outputs, bias, net) {
    Object.assign(this, { inputs, outputs, net, width: outputs });
    this.weight = net.parameter(inputs * outputs);
    this.bias = bias ? net.parameter(outputs) : null;
    this.y = net.buffer(outputs);
    this.dx = net.buffer(inputs);
  }

  forward(x, rows) {
    const { inputs, outputs, y, bias } = this;
    this.x = x;
    product(x, this.weight.value, y, rows, outputs, inputs);
    if (bias) for (let i = 0; i < rows * outputs; i++) y[i] += bias.value[i % outputs];
    return y;
  }

  /** The gradient of the input from that of the output; the weight's is kept. `wanted`: whether anybody needs it. */
  backward(dy, rows, wanted = true) {
    const { inputs, outputs, dx, bias } = this;
    const [left, right] = this.net.scratch;
    transpose(dy, left, rows, outputs);
    transpose(this.x, right, rows, inputs);
    product(left, right, this.weight.grad, outputs, inputs, rows);
    if (bias) {
      bias.grad.fill(0);
      for (let i = 0; i < rows * outputs; i++) bias.grad[i % outputs] += dy[i];
    }
    if (!wanted) return null;
    transpose(this.weight.value, left, outputs, inputs);
    product(dy, left, dx, rows, inputs, outputs);
    return dx;
  }
}

/** Batch norm: with the statistics of the batch in training, with the running ones otherwise. */
class Norm {
  constructor(width, net) {
    this.width = width;
    this.scale = net.parameter(width);
    this.shift = net.parameter(width);
    this.scale.value.fill(1);
    this.mean = net.floats(width); // the running ones
    this.variance = net.floats(width).fill(1);
    this.inverse = new Float64Array(width); // 1 / standard deviation
    this.sums = [new Float64Array(width), new Float64Array(width)];
    this.normal = net.buffer(width); // (x - mean) / standard deviation
    this.y = net.buffer(width);
  }

  forward(x, rows, training) {
    const { width, scale, shift, inverse, normal: normed, y } = this;
    let { mean, variance } = this;
    if (training) {
      [mean, variance] = this.sums;
      mean.fill(0);
      variance.fill(0);
      for (let at = 0; at < rows * width; at += width) for (let c = 0; c < width; c++) mean[c] += x[at + c];
      for (let c = 0; c < width; c++) mean[c] /= rows;
      for (let at = 0; at < rows * width; at += width) {
        for (let c = 0; c < width; c++) {
          const d = x[at + c] - mean[c];
          variance[c] += d * d;
        }
      }
      for (let c = 0; c < width; c++) {
        variance[c] /= rows;
        this.mean[c] += RUNNING * (mean[c] - this.mean[c]);
        this.variance[c] += RUNNING * ((variance[c] * rows) / (rows - 1) - this.variance[c]); // unbiased
      }
    }
    for (let c = 0; c < width; c++) inverse[c] = 1 / Math.sqrt(variance[c] + EPS);
    const [gamma, beta] = [scale.value, shift.value];
    for (let at = 0; at < rows * width; at += width) {
      for (let c = 0; c < width; c++) {
        const n = (x[at + c] - mean[c]) * inverse[c];
        normed[at + c] = n;
        y[at + c] = n * gamma[c] + beta[c];
      }
    }
    return y;
  }

  /** The gradient of the input, in place of that of the output. */
  backward(dy, rows) {
    const { width, scale, shift, inverse, normal: normed } = this;
    const [sum, along] = this.sums;
    sum.fill(0);
    along.fill(0);
    for (let at = 0; at < rows * width; at += width) {
      for (let c = 0; c < width; c++) {
        sum[c] += dy[at + c];
        along[c] += dy[at + c] * normed[at + c];
      }
    }
    for (let c = 0; c < width; c++) {
      shift.grad[c] = sum[c];
      scale.grad[c] = along[c];
      sum[c] /= rows;
      along[c] /= rows;
      inverse[c] *= scale.value[c];
    }
    for (let at = 0; at < rows * width; at += width) {
      for (let c = 0; c < width; c++) dy[at + c] = inverse[c] * (dy[at + c] - sum[c] - normed[at + c] * along[c]);
    }
    return dy;
  }
}

class Relu {
  constructor(width, net) {
    this.width = width;
    this.y = net.buffer(width);
  }

  forward(x, rows) {
    const { y } = this;
    for (let i = 0; i < rows * this.width; i++) y[i] = x[i] < 0 ? 0 : x[i]; // what is no number stays none
    return y;
  }

  backward(dy, rows) {
    const { y } = this;
    for (let i = 0; i < rows * this.width; i++) if (!(y[i] > 0)) dy[i] = 0;
    return dy;
  }
}

/** F(x) + x. Its gradient goes both ways: through the branch, and past it. */
class Sum {
  constructor(width, net) {
    this.width = width;
    this.y = net.buffer(width);
    this.past = net.buffer(width);
  }

  forward(f, x, rows) {
    Object.assign(this, { f, x });
    for (let i = 0; i < rows * this.width; i++) this.y[i] = f[i] + x[i];
    return this.y;
  }
}

/** Layers one after the other. */
class Chain {
  constructor(...layers) {
    this.layers = layers.filter(Boolean);
  }

  forward(x, rows, training) {
    for (const layer of this.layers) x = layer.forward(x, rows, training);
    return x;
  }

  backward(dy, rows) {
    for (let i = this.layers.length - 1; i >= 0; i--) dy = this.layers[i].backward(dy, rows);
    return dy;
  }
}

/**
 * One net. settings: { kind, depth, width, batch_norm, batch, seed }; kind is "plain", "residual", "zeroed" (residual,
 * and the last scale of each block begins at zero; without batch norm its last weight does) or "preact". The depth is
 * even: first layer, blocks of two layers, last layer; so is the width. Floats: the arrays that hold all values.
 */
export class Net {
  constructor(settings, Floats = Float32Array) {
    const { kind, depth, width, batch_norm, batch, seed } = settings;
    Object.assign(this, { settings, Floats, parameters: [], linears: [], norms: [], outputs: [] });
    this.scratch = [0, 1].map(() => this.floats(Math.max(PIXELS, width) * Math.max(PIXELS, width, batch)));
    this.slope = this.buffer(CLASSES); // the gradient of the logits
    const random = uniform(seed);
    const linear = (inputs, outputs, bias = !batch_norm) => {
      const layer = new Linear(inputs, outputs, bias, this);
      const size = Math.sqrt(2 / inputs); // Kaiming's law: the mean square of what passes is kept
      const { value } = layer.weight;
      for (let i = 0; i < value.length; i++) value[i] = size * normal(random);
      return this.linears[this.linears.push(layer) - 1];
    };
    const norm = () => (batch_norm ? this.norms[this.norms.push(new Norm(width, this)) - 1] : null);
    const relu = () => new Relu(width, this);
    const ends = (layer) => this.outputs[this.outputs.push(layer) - 1]; // what a layer of the net hands on

    const pre = kind === "preact";
    this.stem = pre ? new Chain(ends(linear(PIXELS, width))) : new Chain(linear(PIXELS, width), norm(), ends(relu()));
    this.blocks = [];
    for (let i = 1; i < depth - 1; i += 2) {
      const branch = pre
        ? new Chain(norm(), relu(), linear(width, width), norm(), ends(relu()), linear(width, width))
        : new Chain(linear(width, width), norm(), ends(relu()), linear(width, width), norm());
      if (kind === "zeroed") (batch_norm ? this.norms.at(-1).scale : this.linears.at(-1).weight).value.fill(0);
      const sum = kind === "plain" ? null : new Sum(width, this);
      this.blocks.push({ branch, sum, end: ends(pre ? sum : relu()) });
    }
    this.head = new Chain(pre && norm(), pre && relu(), ends(linear(width, CLASSES, true)));
  }

  floats = (size) => new this.Floats(size);
  buffer = (width) => this.floats(this.settings.batch * width);
  parameter(size) {
    return this.parameters[this.parameters.push(new Parameter(size, this.Floats)) - 1];
  }

  /** Images (rows, 64) -> logits (rows, 10); at most `batch` rows. */
  forward(x, rows, training) {
    x = this.stem.forward(x, rows, training);
    for (const { branch, sum, end } of this.blocks) {
      let y = branch.forward(x, rows, training);
      if (sum) y = sum.forward(y, x, rows);
      x = end === sum ? y : end.forward(y, rows);
    }
    return this.head.forward(x, rows, training);
  }

  backward(dy, rows) {
    dy = this.head.backward(dy, rows);
    for (let i = this.blocks.length - 1; i >= 0; i--) {
      const { branch, sum, end } = this.blocks[i];
      if (end !== sum) dy = end.backward(dy, rows);
      if (sum) sum.past.set(dy);
      dy = branch.backward(dy, rows);
      if (sum) for (let j = 0; j < rows * sum.width; j++) dy[j] += sum.past[j];
    }
    this.stem.backward(dy, rows);
  }

  /** Forward and backward on a batch, without an update: the mean cross-entropy; the gradients are kept. */
  gradients(x, labels) {
    const loss = crossEntropy(this.forward(x, labels.length, true), labels, this.slope);
    this.backward(this.slope, labels.length);
    return loss;
  }

  /**
   * One update by SGD with momentum: { loss }. Where a value is no longer a finite number, nothing is updated, and
   * `broke` says in which layer that began (1 is the first), and on which way: { loss, broke: { layer, way } }.
   */
  step(x, labels, rate) {
    const rows = labels.length;
    const loss = this.gradients(x, labels);
    if (!Number.isFinite(loss)) {
      const at = this.outputs.findIndex(({ y, width }) => !Number.isFinite(total(y, rows * width)));
      return { loss, broke: { layer: at < 0 ? this.outputs.length : at + 1, way: "forward" } };
    }
    for (let i = this.linears.length - 1; i >= 0; i--) {
      if (!Number.isFinite(total(this.linears[i].weight.grad))) return { loss, broke: { layer: i + 1, way: "backward" } };
    }
    for (const parameter of this.parameters) parameter.update(rate);
    return { loss };
  }

  /** How often images of each class are taken for each: counts, true class by row, in evaluation mode. */
  confusion(images, labels) {
    const counts = Array(CLASSES * CLASSES).fill(0);
    for (let from = 0; from < labels.length; from += this.settings.batch) {
      const rows = Math.min(this.settings.batch, labels.length - from);
      const logits = this.forward(images.subarray(from * PIXELS, (from + rows) * PIXELS), rows, false);
      for (let r = 0; r < rows; r++) {
        const row = logits.subarray(r * CLASSES, (r + 1) * CLASSES);
        counts[labels[from + r] * CLASSES + Math.max(0, row.indexOf(Math.max(...row)))]++;
      }
    }
    return counts;
  }

  /** The sizes (root mean square) in the last update: of each layer's gradient and output, of each block's F(x) and x. */
  sizes() {
    const rows = this.settings.batch;
    return {
      gradients: this.linears.map((layer) => rms(layer.weight.grad)),
      outputs: this.outputs.map(({ y, width }) => rms(y, rows * width)),
      branches: this.blocks.map(({ sum }) => sum && [rms(sum.f, rows * sum.width), rms(sum.x, rows * sum.width)]),
    };
  }
}

/** The mean cross-entropy of logits (rows, 10); `slope` gets its gradient. */
function crossEntropy(logits, labels, slope) {
  const rows = labels.length;
  let loss = 0;
  for (let r = 0; r < rows; r++) {
    const at = r * CLASSES;
    let [most, sum] = [-Infinity, 0];
    for (let c = 0; c < CLASSES; c++) most = Math.max(most, logits[at + c]);
    const right = logits[at + labels[r]] - most;
    for (let c = 0; c < CLASSES; c++) sum += Math.exp(logits[at + c] - most);
    loss += Math.log(sum) - right;
    for (let c = 0; c < CLASSES; c++) {
      slope[at + c] = (Math.exp(logits[at + c] - most) / sum - (c === labels[r] ? 1 : 0)) / rows;
    }
  }
  return loss / rows;
}

/** The sum of sizes: finite only if all values are. */
function total(values, size = values.length) {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += Math.abs(values[i]);
  return sum;
}
