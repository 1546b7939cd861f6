// Scikit-learn's digits as the package splits them: 1,437 training images, then 360 test images (tools/book/pack_digits.py).
import PACKED from "./digits.txt";

export const TRAIN = 1437;
export const IMAGES = 1797;
const PIXELS = 64;

/** All images: { pixels, labels }, 64 whole numbers from 0 to 16 an image, and a digit. */
export function unpacked() {
  const code = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let at = 0;
  const bits = (n) => {
    let value = 0;
    for (; n > 0; n--, at++) value = 2 * value + ((code.indexOf(PACKED[Math.floor(at / 6)]) >> (5 - (at % 6))) & 1);
    return value;
  };
  const pixels = new Uint8Array(IMAGES * PIXELS);
  const labels = new Uint8Array(IMAGES);
  for (let i = 0; i < IMAGES; i++) {
    for (let p = 0; p < PIXELS; p++) pixels[i * PIXELS + p] = bits(1) && bits(4) + 1;
    labels[i] = bits(4);
  }
  return { pixels, labels };
}

/** For each of an image's pixels, the mean over the training images. */
export function meanImage(images) {
  const mean = new Float64Array(PIXELS);
  for (let i = 0; i < TRAIN * PIXELS; i++) mean[i % PIXELS] += images[i] / TRAIN;
  return mean;
}
