// The training laboratory's worker: one net, trained in slices, so that it hears the page in between.
//
// In:  { start: settings of dense_net.js and { rate, steps } }, { limit: the step to go on to; a pause is one that has
//      been reached }, { steps: the new end of the run }.
// Out: what Run.report() returns, at most twenty times a second.
import { CLASSES, Net, PIXELS, shuffled, uniform } from "./dense_net.js";
import { IMAGES, TRAIN, meanImage, unpacked } from "./digits.js";

export { Net, product } from "./dense_net.js";

const SLICE = 50; // ms
const POINTS = 100; // of the loss curve, each the mean of the steps since the one before
const CHECKS = 15; // evaluations on all training images in a run: of a deep net's time they are a third

/** The digits: { train, test }, each { images, labels }; pixels / 16 less the mean of the training images. */
export function digits(Floats = Float32Array) {
  const { pixels, labels } = unpacked();
  const images = Floats.from(pixels, (value) => value / 16);
  const mean = meanImage(images);
  for (let i = 0; i < images.length; i++) images[i] -= mean[i % PIXELS];
  const part = (from, to) => ({ images: images.subarray(from * PIXELS, to * PIXELS), labels: labels.subarray(from, to) });
  return { train: part(0, TRAIN), test: part(TRAIN, IMAGES) };
}

/** Batches of the training images: all of them in a random order, then in another one; what is left over is dropped. */
export function batches({ images, labels }, size, seed) {
  const random = uniform(seed + 1_000_003); // not the numbers that the weights come from
  const batch = { images: new images.constructor(size * PIXELS), labels: new Uint8Array(size) };
  let order = [];
  return () => {
    if (order.length < size) order = shuffled(labels.length, random);
    order.splice(0, size).forEach((from, i) => {
      batch.images.set(images.subarray(from * PIXELS, (from + 1) * PIXELS), i * PIXELS);
      batch.labels[i] = labels[from];
    });
    return batch;
  };
}

/** Percent of the images that a confusion does not have on its diagonal. */
const wrong = (counts, images) => 100 - (100 / images) * counts.reduce((sum, n, i) => sum + (i % (CLASSES + 1) ? 0 : n), 0);

/** One run of one net. `report()` says how far it is; `step()` goes on by an update. */
export class Run {
  constructor({ rate, steps, ...settings }) {
    Object.assign(this, { rate, steps, step: 0, points: [], sum: 0, count: 0, broke: null });
    this.net = new Net(settings);
    this.data = digits();
    this.next = batches(this.data.train, settings.batch, settings.seed);
    this.check();
  }

  get over() {
    return this.broke || this.step >= this.steps;
  }

  check() {
    const { images, labels } = this.data.train;
    this.confusion = this.net.confusion(images, labels);
    this.error = { step: this.step, train: wrong(this.confusion, labels.length) };
    if (this.step >= this.steps) {
      const { test } = this.data;
      this.error.test = wrong(this.net.confusion(test.images, test.labels), test.labels.length);
    }
    this.points.push(this.error);
  }

  advance() {
    const { images, labels } = this.next();
    const { loss, broke } = this.net.step(images, labels, this.rate);
    this.step += 1;
    if (broke) return (this.broke = { step: this.step, ...broke });
    this.loss = loss;
    this.sum += loss;
    this.count += 1;
    if (this.step % Math.ceil(this.steps / POINTS) === 0 || this.over) {
      this.points.push({ step: this.step, loss: this.sum / this.count });
      this.sum = this.count = 0;
    }
    if (this.step % Math.ceil(this.steps / CHECKS) === 0 || this.over) this.check();
    return null;
  }

  report() {
    const points = this.points.splice(0);
    const { step, loss, confusion, error, broke } = this;
    const sizes = step ? this.net.sizes() : null;
    return { step, loss, points, confusion, error, broke, sizes, filters: this.net.linears[0].weight.value, over: Boolean(this.over) };
  }
}

/** Returns what hears the page's messages; `post` sends one to it. */
function serve(post) {
  let run = null;
  let [limit, timer] = [0, 0];
  const wake = () => (timer ||= run.step < limit && !run.over ? setTimeout(work, 0) : 0);
  function work() {
    const end = performance.now() + SLICE;
    while (performance.now() < end && !run.over && run.step < limit) run.advance();
    post(run.report());
    timer = 0;
    wake();
  }
  return ({ data }) => {
    if (data.start) post((run = new Run(data.start)).report());
    run.steps = data.steps ?? run.steps;
    limit = data.limit ?? limit;
    wake();
  };
}

globalThis.onmessage = serve((message) => globalThis.postMessage(message));
