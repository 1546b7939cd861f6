// A pad to draw a digit on, by mouse, finger or keyboard, and what becomes of the strokes: 8 x 8 numbers from 0 to 16.
//
// Source: UCI, "Optical Recognition of Handwritten Digits": bitmaps of 32 x 32, the set pixels counted in blocks of 4 x 4.
import { button, checkField, h } from "./ui.js";

const FINE = 32; // pixels a side of the bitmap
const COARSE = 8;
const RADIUS = 2.1; // of the pen, in pixels of the bitmap
const INK = 310; // pixels that are set in a training image, whatever the digit: their means are 303 to 330
const PENS = [1.6, 4.5]; // the thinnest and the thickest that is taken for it
const WIDE = 23; // pixels that most training images have at most between left and right, and where their middle is
const MIDDLE = 15;
const STEP = 1 / 16; // of the pen, by keyboard
const PIXELS = 480; // of the pad, twice what it has on a page

/** Move and stretch strokes as the training images were: from top to bottom, and in the middle. */
function fitted(strokes) {
  const points = strokes.flat();
  const [xs, ys] = [0, 1].map((axis) => points.map((p) => p[axis]));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const scale = Math.min((FINE - 2 * RADIUS) / (height || 1e-9), (WIDE - 2 * RADIUS) / (width || 1e-9), 3 * FINE);
  const place = ([x, y]) => [MIDDLE + (x - left - width / 2) * scale, FINE / 2 + (y - top - height / 2) * scale];
  return strokes.map((stroke) => stroke.map(place));
}

/** The square of the distance of a point from the line between two others. */
function apart(x, y, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2;
}

/**
 * Strokes, lists of points [x, y] from 0 to 1, as 64 whole numbers from 0 to 16. With `fit` they are moved and stretched,
 * and drawn with a pen so thick that there is as much ink as in a training image.
 */
export function rasterise(strokes, fit = true) {
  const image = new Array(COARSE * COARSE).fill(0);
  const inked = strokes.filter((stroke) => stroke.length);
  if (!inked.length) return image;
  const lines = fit ? fitted(inked) : inked.map((stroke) => stroke.map(([x, y]) => [x * FINE, y * FINE]));
  const far = (x, y) => lines.reduce((least, line) => line.reduce((d, p, i) => Math.min(d, apart(x, y, line[Math.max(0, i - 1)], p)), least), Infinity);
  const distances = Float64Array.from({ length: FINE ** 2 }, (_, p) => far((p % FINE) + 0.5, Math.floor(p / FINE) + 0.5));
  const thick = Math.sqrt(distances.slice().sort()[INK - 1]);
  const radius = fit ? Math.max(PENS[0], Math.min(PENS[1], thick)) : RADIUS;
  distances.forEach((distance, p) => (image[Math.floor(p / FINE / 4) * COARSE + Math.floor((p % FINE) / 4)] += distance <= radius ** 2));
  return image;
}

/** The pad. onchange(image, done): done is false while a stroke is drawn. Returns { node, clear() }. */
export function drawingPad({ voice, onchange }) {
  const canvas = h("canvas", {
    class: "rx-pad", width: PIXELS, height: PIXELS, tabindex: "0", role: "application",
    "aria-label": "Drawing pad. Arrow keys move the pen, Space lowers and lifts it, Delete clears the pad.",
  });
  const context = canvas.getContext("2d");
  let strokes = [];
  let pen = null; // where the keyboard's pen is
  let down = false;
  const fit = checkField({ label: "Fit size and pen to the training images", value: true, onchange: () => tell(true) });
  const tell = (done) => {
    draw();
    if (strokes.length) onchange(rasterise(strokes, fit.value), done);
  };

  function draw() {
    context.fillStyle = "#12161b";
    context.fillRect(0, 0, PIXELS, PIXELS);
    Object.assign(context, { strokeStyle: "#fff", lineWidth: (2 * RADIUS * PIXELS) / FINE, lineCap: "round", lineJoin: "round" });
    for (const stroke of strokes) {
      context.beginPath();
      stroke.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * PIXELS, y * PIXELS));
      const [x, y] = stroke.at(-1);
      context.lineTo(x * PIXELS + 0.01, y * PIXELS); // a dot is a line, too
      context.stroke();
    }
    if (!strokes.length && !pen) {
      Object.assign(context, { fillStyle: "#a5b0bb", font: "34px sans-serif", textAlign: "center" });
      context.fillText("Draw a digit here", PIXELS / 2, PIXELS / 2 + 11);
    }
    if (pen) {
      Object.assign(context, { strokeStyle: down ? "#f5924a" : "#5cb0ee", lineWidth: 6 });
      context.beginPath();
      context.arc(pen[0] * PIXELS, pen[1] * PIXELS, 17, 0, 7);
      context.stroke();
    }
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.max(0, Math.min(1, v)));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pen = null;
    strokes.push([at(event)]);
    tell(false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    strokes.at(-1).push(at(event));
    tell(false);
  });
  canvas.addEventListener("lostpointercapture", () => tell(true));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Delete" || event.key === "Backspace") clear();
    else if (event.key === " ") {
      pen ??= [0.5, 0.5];
      down = !down;
      if (down) strokes.push([[...pen]]);
      voice.say(down ? "Pen down." : "Pen up.");
    } else if (by) {
      pen = pen ? pen.map((v, axis) => Math.max(0, Math.min(1, v + STEP * by[axis]))) : [0.5, 0.5];
      if (down) strokes.at(-1).push([...pen]);
      else voice.say(`Column ${Math.round(pen[0] / STEP)}, row ${Math.round(pen[1] / STEP)} of 16.`);
    } else return;
    event.preventDefault();
    if (down || event.key === " ") tell(!down);
    else draw();
  });
  canvas.addEventListener("blur", () => {
    [pen, down] = [null, false];
    draw();
  });

  function empty() {
    [strokes, down] = [[], false];
    draw();
  }
  function clear() {
    empty();
    onchange(rasterise([]), true);
  }
  draw();
  return { node: h("div", {}, canvas, h("div", { class: "rx-row" }, button("Clear the pad", clear, { class: "rx-button rx-quiet" })), fit.node), empty };
}
