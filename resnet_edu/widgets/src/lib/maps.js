// Pictures of feature maps, and of the image they were made from.
import { h, patch, svg } from "./ui.js";

/** How many maps are in a row of a picture of all. */
export const perRow = (channels) => Math.ceil(Math.sqrt(channels));

/**
 * Paint maps { values, side, channels } on a canvas, one pixel a number, a transparent line between maps; or one map,
 * `only`. Grey is zero, white is `scale`, black its negative.
 */
export function paint(canvas, { values, side, channels }, scale, only = null) {
  const columns = only === null ? perRow(channels) : 1;
  const rows = only === null ? Math.ceil(channels / columns) : 1;
  const [width, height] = [columns * (side + 1) - 1, rows * (side + 1) - 1];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const picture = new ImageData(width, height);
  const { data } = picture;
  for (let map = 0; map < (only === null ? channels : 1); map++) {
    const [left, top] = [(map % columns) * (side + 1), Math.floor(map / columns) * (side + 1)];
    for (let p = 0; p < side * side; p++) {
      const at = 4 * ((top + Math.floor(p / side)) * width + left + (p % side));
      data[at] = data[at + 1] = data[at + 2] = 128 + (127 * values[p * channels + (only ?? map)]) / (scale || 1);
      data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** A canvas for them. */
export const mapCanvas = (attributes = {}) => h("canvas", { class: "rx-maps", ...attributes });

/** An image of 8 x 8 numbers from 0 to 16, with room for marks over it: { node, fill(image, words), marks }. */
export function digitPicture(name) {
  const cells = Array.from({ length: 64 }, (_, p) => svg("rect", { x: p % 8, y: Math.floor(p / 8), width: 1.02, height: 1.02 }));
  const marks = svg("g");
  const root = svg("svg", { viewBox: "0 0 8 8", class: "rx-digit", role: "img", "aria-label": name }, cells, marks);
  return {
    node: root,
    marks,
    fill(image, words) {
      image.forEach((v, p) => patch(cells[p], { fill: `rgb(${Array(3).fill(Math.round(15.9 * v)).join()})` }));
      patch(root, { "aria-label": `${name}: ${words}` });
    },
  };
}
