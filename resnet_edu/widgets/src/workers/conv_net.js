// A trained net of the paper's CIFAR family, made to be looked into and cut: every branch has a factor, and blocks of
// one shape can change places.
//
// Maps are { values, side, channels, count }: float32, for each image its pixels row by row, for each pixel its channels.
// Each batch norm is folded into the convolution before it. No DOM; tests/widgets/test_dissecting_engine.py runs this
// in V8 beside PyTorch.
//
// Sources
//   He et al., "Deep Residual Learning", CVPR 2016: section 4.2, the nets; section 3.3, option A for the shortcuts.
//   Ioffe and Szegedy, "Batch Normalization", ICML 2015, section 3.1: batch norm with running statistics is linear.
//   Veit et al., "Residual Networks Behave Like Ensembles ...", NIPS 2016: branches left out, blocks in another order.
//   Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016: class activation maps.
//   Hugging Face, safetensors, README, "Format".
import { product } from "./dense_net.js";

const EPS = 1e-5; // of batch norm, PyTorch's default
const POWERS = Float64Array.from({ length: 32 }, (_, e) => 2 ** (e - 15));

/** The number that 16 bits stand for (IEEE 754, binary16; no infinities here). */
function half(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, (bits & 1023) / 1024];
  const size = exponent ? (1 + fraction) * POWERS[exponent] : fraction * POWERS[1];
  return bits >> 15 ? -size : size;
}

/** The tensors of a safetensors file, float16 or float32: name -> { shape, values }. */
export function readTensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + view.getUint32(0, true);
  const header = JSON.parse(Array.from(bytes.subarray(8, start), (code) => String.fromCharCode(code)).join(""));
  const found = {};
  for (const [name, { dtype, shape, data_offsets: place }] of Object.entries(header)) {
    if (dtype !== "F16" && dtype !== "F32") continue; // of the whole numbers, how often a batch norm was trained, nothing is needed
    const [from, to] = place.map((offset) => start + offset);
    const [size, read] = dtype === "F16" ? [2, (at) => half(view.getUint16(at, true))] : [4, (at) => view.getFloat32(at, true)];
    found[name] = { shape, values: Float32Array.from({ length: (to - from) / size }, (_, i) => read(from + size * i)) };
  }
  return found;
}

/** A 3x3 convolution and the batch norm after it: weight (outputs, 3, 3, inputs), bias (outputs). */
function convolution(tensors, conv, norm, stride = 1) {
  const { shape: [outputs, inputs], values } = tensors[`${conv}.weight`];
  const [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) => tensors[`${norm}.${part}`].values);
  const weight = new Float32Array(values.length);
  const bias = new Float32Array(outputs);
  for (let o = 0; o < outputs; o++) {
    const factor = scale[o] / Math.sqrt(variance[o] + EPS);
    bias[o] = shift[o] - mean[o] * factor;
    for (let c = 0; c < inputs; c++) for (let k = 0; k < 9; k++) weight[(o * 9 + k) * inputs + c] = values[(o * inputs + c) * 9 + k] * factor;
  }
  return { weight, bias, inputs, outputs, stride };
}

/** The convolution of some maps, with a zero around each; `relu` says whether what is negative becomes zero. */
function convolve({ values, side, channels, count }, { weight, bias, outputs, stride }, relu) {
  const size = Math.ceil(side / stride);
  const width = 9 * channels;
  const windows = new Float32Array(count * size * size * width); // for each pixel of the result, what its weights meet
  let at = 0;
  for (let image = 0; image < count; image++) {
    for (let top = -1; top < side - 1; top += stride) {
      for (let left = -1; left < side - 1; left += stride) {
        for (let row = top; row < top + 3; row++) {
          for (let column = left; column < left + 3; column++, at += channels) {
            if (row < 0 || row >= side || column < 0 || column >= side) continue;
            const from = ((image * side + row) * side + column) * channels;
            for (let c = 0; c < channels; c++) windows[at + c] = values[from + c];
          }
        }
      }
    }
  }
  const y = new Float32Array(count * size * size * outputs);
  product(windows, weight, y, count * size * size, outputs, width);
  for (let i = 0; i < y.length; i += outputs) {
    for (let o = 0; o < outputs; o++) {
      const sum = y[i + o] + bias[o];
      y[i + o] = relu && sum < 0 ? 0 : sum;
    }
  }
  return { values: y, side: size, channels: outputs, count };
}

/** What a shortcut hands on: x, or where the shape changes every second pixel of x and new channels of zeros. */
function shortcut(x, { inputs, outputs, stride }) {
  if (stride === 1 && inputs === outputs) return x;
  const side = Math.ceil(x.side / stride);
  const values = new Float32Array(x.count * side * side * outputs);
  for (let i = 0; i < x.count * side * side; i++) {
    const [image, row, column] = [Math.floor(i / side / side), Math.floor(i / side) % side, i % side];
    const from = ((image * x.side + row * stride) * x.side + column * stride) * inputs;
    values.set(x.values.subarray(from, from + inputs), i * outputs);
  }
  return { values, side, channels: outputs, count: x.count };
}

/** The root of the sum of the squares of all values. */
export const norm = ({ values }) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (v) => Math.exp(v - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

export const largest = (values) => values.indexOf(Math.max(...values));

/**
 * A net from the bytes of its file. `blocks` has, for each, { name, stage, keeps }: its name in PyTorch, its stage (1 to
 * 3), and whether what it gives has the shape of what it takes.
 *
 * changes: { factors, order }. factors: the branch of the block of that name, times so much (1 if it is not named); in a
 * plain net, whose blocks have no branch, 0 puts the identity in its place. order: for each place, the index of the block
 * that stands there.
 */
export class ConvNet {
  constructor(bytes, residual) {
    const tensors = readTensors(bytes);
    this.residual = residual;
    this.stem = convolution(tensors, "conv1", "bn1");
    this.fc = { weight: tensors["fc.weight"].values, bias: tensors["fc.bias"].values };
    this.blocks = [];
    for (let stage = 1; tensors[`layer${stage}.0.conv1.weight`]; stage++) {
      for (let i = 0; tensors[`layer${stage}.${i}.conv1.weight`]; i++) {
        const name = `layer${stage}.${i}`;
        const first = convolution(tensors, `${name}.conv1`, `${name}.bn1`, stage > 1 && i === 0 ? 2 : 1);
        const second = convolution(tensors, `${name}.conv2`, `${name}.bn2`);
        this.blocks.push({ name, stage, first, second, shape: { ...first, outputs: second.outputs }, keeps: first.stride === 1 && first.inputs === second.outputs });
      }
    }
  }

  /** The blocks as they stand, each with the factor of its branch. */
  path({ factors = {}, order } = {}) {
    return this.blocks.map((_, place) => {
      const block = this.blocks[order?.[place] ?? place];
      return { block, factor: factors[block.name] ?? 1 };
    });
  }

  /** One block: { x, f, sum, y }, its input, the branch, the sum before the ReLU and what it hands on; no sum in a plain net. */
  block(x, { block, factor }) {
    if (factor === 0 && !this.residual) return { x, f: null, sum: null, y: x };
    const f = factor === 0 ? null : convolve(convolve(x, block.first, true), block.second, false);
    if (!this.residual) return { x, f, sum: null, y: { ...f, values: f.values.map((v) => Math.max(0, v)) } };
    const base = shortcut(x, block.shape);
    const sum = { ...base, values: f ? base.values.map((v, i) => v + factor * f.values[i]) : base.values };
    return { x, f, sum, y: { ...sum, values: sum.values.map((v) => Math.max(0, v)) } };
  }

  /** The first maps of images (count, side, side, channels). */
  begin(images, count) {
    const channels = this.stem.inputs;
    return convolve({ values: images, side: Math.sqrt(images.length / count / channels), channels, count }, this.stem, true);
  }

  /** The logits (count, classes) of the maps before block `from`; look(place, what block() returns) sees all that follows. */
  finish(maps, changes, from = 0, look = () => {}) {
    const path = this.path(changes);
    for (let place = from; place < path.length; place++) {
      const seen = this.block(maps, path[place]);
      look(place, seen);
      maps = seen.y;
    }
    const { values, side, channels, count } = maps;
    const means = new Float32Array(count * channels); // global average pooling
    values.forEach((v, i) => (means[Math.floor(i / (side * side * channels)) * channels + (i % channels)] += v / side ** 2));
    const logits = new Float32Array(count * this.fc.bias.length);
    product(means, this.fc.weight, logits, count, this.fc.bias.length, channels);
    return logits.map((v, i) => v + this.fc.bias[i % this.fc.bias.length]);
  }

  logits(images, count, changes) {
    return this.finish(this.begin(images, count), changes);
  }

  /** Of one image's last maps: what each pixel adds to the logit of a class. They and the bias are the logit. */
  evidence({ values, side, channels }, kind) {
    return Array.from({ length: side * side }, (_, p) => {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += this.fc.weight[kind * channels + c] * values[p * channels + c];
      return sum / side ** 2;
    });
  }

  /**
   * For each block, which pixels of the image the pixels of its maps depend on: { x, f, sum }, each { step, reach }.
   * Pixel (r, c) of a map depends on the rows r step - reach to r step + reach, and on the columns likewise.
   */
  fields(changes) {
    let now = { step: 1, reach: 1 }; // after the first convolution
    return this.path(changes).map(({ block: { first }, factor }) => {
      const x = now;
      const base = { step: x.step * first.stride, reach: x.reach };
      const f = { ...base, reach: x.reach + x.step + base.step }; // a 3x3 reaches one pixel of what it reads
      now = factor ? f : this.residual ? base : x; // the branch reaches farther than the shortcut
      return { x, f, sum: now };
    });
  }

  /** How many blocks can be left out alone, and for how many of them the answer for an image changes; stops after each. */
  *lesions(image) {
    const inputs = [];
    const answer = largest(this.finish(this.begin(image, 1), {}, 0, (place, { x }) => inputs.push(x)));
    const places = this.blocks.flatMap(({ keeps }, place) => (keeps || this.residual ? [place] : []));
    let changed = 0;
    for (const place of places) {
      changed += largest(this.finish(inputs[place], { factors: { [this.blocks[place].name]: 0 } }, place)) !== answer;
      yield;
    }
    return { changed, all: places.length };
  }
}

/** A convolution so far on the way to what it is: at 0 it hands on `kept` times what it gets. */
function onTheWay({ weight, bias, ...shape }, share, kept) {
  const values = weight.map((v) => share * v);
  for (let o = 0; o < shape.outputs; o++) values[(o * 9 + 4) * shape.inputs + o] += (1 - share) * kept;
  return { ...shape, weight: values, bias: bias.map((v) => share * v) };
}

/**
 * `shallow`, and at the end of each stage the blocks that `deep` has more, so far on the way to what they are there: at a
 * share of 0 they do nothing. A plain block does so by kernels that hand on what they get, a residual one by a branch of 0.
 */
export function deepened(shallow, deep, share) {
  const { residual } = shallow;
  const added = ({ first, second, ...block }) => (
    { ...block, first: residual ? first : onTheWay(first, share, 1), second: onTheWay(second, share, residual ? 0 : 1) });
  const blocks = [1, 2, 3].flatMap((stage) => {
    const [own, all] = [shallow, deep].map((net) => net.blocks.filter((block) => block.stage === stage));
    return [...own, ...all.slice(own.length).map(added)];
  });
  return Object.assign(Object.create(ConvNet.prototype), shallow, { blocks });
}
