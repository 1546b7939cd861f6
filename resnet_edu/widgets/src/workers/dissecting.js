// The dissecting table's worker: trained nets, an image, and what becomes of it in each of them.
//
// In:  { net, bytes or base64, sha256 }: a net's weights; { look: { id, image, test, open, changes } }: an image (64
//      numbers from 0 to 16, or the index of a test image), the net to look into, and for each net its changes.
// Out: { net } when it is there, or { net, problem }; then for each look { id, image, label, answers, inside } at once,
//      and what takes longer after it, piece by piece, until the next look: { id, error } and { id, lesions }.
import { ConvNet, deepened, largest, norm, softmax } from "./conv_net.js";
import { IMAGES, TRAIN, meanImage, unpacked } from "./digits.js";
import { sha256 } from "./sha256.js";

export { ConvNet, deepened, sha256 };

const PIXELS = 64;
const TESTED = 200; // images of an error
const AT_ONCE = 5; // of them, before the page is heard again
const LEARNT = 40; // training images of a loss

const { pixels, labels } = unpacked();
const scaled = (values) => Float32Array.from(values, (v) => Math.round((v * 255) / 16) / 255); // bytes in the package
const MEAN = meanImage(scaled(pixels));

/** Images as the nets take them: 0 to 1, less the mean of the training images. */
export const prepared = (values) => scaled(values).map((v, i) => v - MEAN[i % PIXELS]);

export const testImage = (index) => ({ image: Array.from(pixels.subarray((TRAIN + index) * PIXELS, (TRAIN + index + 1) * PIXELS)), label: labels[TRAIN + index] });

const TEST = prepared(pixels.subarray(TRAIN * PIXELS, (TRAIN + TESTED) * PIXELS));

/** Percent of the first 200 test images that a net takes for another digit: a generator of { percent, images } so far. */
export function* testError(net, changes) {
  let wrong = 0;
  for (let at = 0; at < TESTED; at += AT_ONCE) {
    const logits = net.logits(TEST.subarray(at * PIXELS, (at + AT_ONCE) * PIXELS), AT_ONCE, changes);
    for (let i = 0; i < AT_ONCE; i++) wrong += largest(logits.subarray(10 * i, 10 * i + 10)) !== labels[TRAIN + at + i];
    const images = at + AT_ONCE;
    yield { percent: (100 * wrong) / images, images };
  }
}

const FIRST = prepared(pixels.subarray(0, LEARNT * PIXELS));

/** Of a net's answers for the first training images, the mean loss and how many are wrong. */
export function trainLoss(net) {
  const logits = net.logits(FIRST, LEARNT);
  const answers = Array.from({ length: LEARNT }, (_, i) => logits.subarray(10 * i, 10 * i + 10));
  const most = answers.map((answer) => Math.max(...answer));
  const losses = answers.map((answer, i) => most[i] - answer[labels[i]] + Math.log(answer.reduce((sum, v) => sum + Math.exp(v - most[i]), 0)));
  return { loss: losses.reduce((a, b) => a + b) / LEARNT, wrong: answers.filter((answer, i) => largest(answer) !== labels[i]).length };
}

/** What a net makes of one image: { logits, blocks, evidence }; of each block the maps x, f and sum, with their sizes. */
export function inside(net, image, changes) {
  const blocks = [];
  let last = null;
  const path = net.path(changes);
  const logits = net.finish(net.begin(image, 1), changes, 0, (place, { y, ...maps }) => {
    last = y;
    const parts = Object.entries(maps).filter(([, map]) => map).map(([key, map]) => [key, { ...map, size: norm(map) }]);
    blocks.push({ ...Object.fromEntries(parts), name: path[place].block.name, factor: path[place].factor });
  });
  const fields = net.fields(changes);
  blocks.forEach((block, i) => (block.fields = fields[i]));
  return { logits, blocks, evidence: net.evidence(last, largest(logits)) };
}

const unchanged = (changes) => !changes?.order && !Object.values(changes?.factors ?? {}).some((factor) => factor !== 1);

/** Returns what hears the page's messages; `post` sends one to it. */
function serve(post) {
  const nets = {};
  const errors = {}; // of nets and their changes: what is known so far, and the rest of the work
  const losses = {}; // of nets, on training images
  let work = null; // a generator of what takes longer
  let timer = 0;

  function* background({ id, open, changes }, image) {
    for (const wanted of !nets[open] ? [] : unchanged(changes[open]) ? [{}] : [changes[open], {}]) {
      const key = JSON.stringify([open, wanted]);
      const known = (errors[key] ??= { rest: testError(nets[open], wanted) });
      do {
        known.error = known.rest.next().value ?? known.error;
        post({ id, error: { net: open, whole: wanted !== changes[open], ...known.error } });
        yield;
      } while (known.error.images < TESTED);
    }
    for (const [name, net] of Object.entries(nets)) {
      post({ id, lesions: { [name]: yield* net.lesions(image) } });
    }
  }

  const soon = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      if (work && !work.next().done) soon();
    }, 0);
  };

  function add({ net, bytes, base64, sha256: wanted }) {
    const data = bytes ?? Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    if (sha256(data) !== wanted) return post({ net, problem: "its weights are damaged" });
    nets[net] = new ConvNet(data, net.startsWith("resnet"));
    return post({ net, blocks: nets[net].blocks.map(({ name, stage, keeps }) => ({ name, stage, keeps })) });
  }

  function look({ id, open, changes, ...given }) {
    const { image, label } = given.test === undefined ? { image: given.image, label: null } : testImage(given.test);
    const ready = prepared(image);
    const seen = nets[open] && { net: open, ...inside(nets[open], ready, changes[open]) };
    const answers = Object.fromEntries(Object.entries(nets).map(([name, net]) => {
      const now = softmax(name === open ? seen.logits : net.logits(ready, 1, changes[name]));
      return [name, { now, before: unchanged(changes[name]) ? now : softmax(net.logits(ready, 1)) }];
    }));
    post({ id, image, label, answers, inside: seen });
    work = background({ id, open, changes }, ready);
    soon();
  }

  function blend({ shallow, deep, percent }) {
    losses[deep] ??= trainLoss(nets[deep]).loss;
    post({ blend: { percent, trained: losses[deep], ...trainLoss(deepened(nets[shallow], nets[deep], percent / 100)) } });
  }

  return ({ data }) => (data.look ? look(data.look) : data.blend ? blend(data.blend) : add(data));
}

globalThis.onmessage = serve((message) => globalThis.postMessage(message));
