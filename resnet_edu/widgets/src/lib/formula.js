// The rules of a row with its numbers filled in: sizes, parameters, multiply-adds, memory, receptive field.
//
// Rows are those of the tracer (`Row.to_dict()`). Without a document: pure text.

import { thousands } from "./ui.js";

const times = (...factors) => factors.join(" · ");
export const size = (shape) => shape.slice(1).join("×") || shape.join("×");
const same = (values) => values.every((v) => v === values[0]);

/** One number for equal ones: [1, 1] -> "1", [0, 3] -> "0×3"; null is "". */
export const short = (values) =>
  values === null ? "" : typeof values === "string" ? values : same(values) ? String(values[0]) : values.join("×");

function sides(row) {
  if (!row.kernel || typeof row.padding === "string" || /ranspose/.test(row.kind)) return [];
  const spatial = row.inputs[0].slice(-row.kernel.length);
  const out = row.outputs[0].slice(-row.kernel.length);
  const lines = spatial.map((n, i) => {
    const [k, s, p, d] = [row.kernel[i], row.stride[i], row.padding[i], row.dilation?.[i] ?? 1];
    const reach = d === 1 ? k : `${d}·(${k} − 1) − 1`;
    const steps = (n + 2 * p - d * (k - 1) - 1) / s;
    // With ceil_mode=True PyTorch rounds up, but drops a last window that would begin in the padding: that is rounding down.
    const [left, right] = Math.floor(steps) + 1 === out[i] ? "⌊⌋" : Math.ceil(steps) + 1 === out[i] ? "⌈⌉" : "";
    return left && `${left}(${n} + 2·${p} − ${reach}) / ${s}${right} + 1 = ${out[i]}`;
  });
  if (!lines.every(Boolean)) return [];
  if (same(lines)) return [["each side", lines[0]]];
  const names = lines.length === 2 ? ["height", "width"] : lines.map((_, i) => `side ${i + 1}`);
  return lines.map((line, i) => [names[i], line]);
}

function parameters(row) {
  const total = thousands(row.params);
  if (row.reused) return [["parameters", "counted where the layer ran first"]];
  if (!row.params) return [];
  const [cin, cout] = [row.inputs[0]?.[1], row.outputs[0]?.[1]];
  const biased = row.bias ? ` + ${cout}` : "";
  if (row.kernel && row.groups && !/ranspose/.test(row.kind)) {
    const input = row.groups > 1 ? `${cin}/${row.groups}` : cin;
    return [["parameters", `${times(cout, input, ...row.kernel)}${biased} = ${total} (out · in · window)`]];
  }
  if (/^BatchNorm/.test(row.kind)) return [["parameters", `2 · ${cin} = ${total} (a scale and a shift per channel)`]];
  if (row.kind === "Linear" && row.inputs[0].length === 2) {
    return [["parameters", `${times(cin, cout)}${biased} = ${total} (in · out${row.bias ? " + biases" : ""})`]];
  }
  return [["parameters", total]];
}

function work(row) {
  if (!row.macs) return [];
  const out = row.outputs[0];
  const total = thousands(row.macs);
  if (row.kernel && row.groups === 1 && !/ranspose/.test(row.kind)) {
    const places = [out[0], ...out.slice(2)];
    const weights = times(out[1], row.inputs[0][1], ...row.kernel);
    return [["multiply-adds", `${times(...places)} places · ${weights} weights = ${total}`]];
  }
  if (row.kind === "Linear" && out.length === 2) {
    return [["multiply-adds", `${times(out[0], row.inputs[0][1], out[1])} = ${total}`]];
  }
  return [["multiply-adds", total]];
}

function memory(row) {
  const out = row.outputs[0];
  if (!out) return [];
  if (!row.activation_bytes) return [["memory", "none of its own: another view of the same values"]];
  const total = `${thousands(row.activation_bytes)} bytes`;
  const counted = out.reduce((a, b) => a * b, 4) === row.activation_bytes;
  return [["memory", counted ? `${times(...out)} · 4 bytes = ${total}` : total]];
}

function field(row, rows) {
  const now = row.receptive_field;
  if (now === null || typeof now !== "number") return [];
  const before = typeof row.sources[0] === "number" ? rows[row.sources[0]].receptive_field : 1;
  const [k, d] = [row.kernel?.[0], row.dilation?.[0] ?? 1];
  if (k > 1 && typeof before === "number" && now > before) {
    const step = (now - before) / (k - 1) / d;
    return [["sees", `${before} + (${k} − 1) · ${d > 1 ? `${d} · ` : ""}${step} = ${now} pixels across`]];
  }
  return [["sees", `${now} ${now === 1 ? "pixel" : "pixels"} across`]];
}

const name = (source, rows) => (typeof source === "number" ? `#${source} ${rows[source].path}` : "the input");

/** What the row does to the values, in one sentence; "" where its kind is not known. */
function deed(row, rows) {
  const [x] = row.inputs;
  const out = row.outputs[0];
  if (row.kind === "add") {
    const kinds = { identity: "unchanged", zero_pad: "zero-padded", projection: "projected", other: "changed" };
    return `y = F(x) + x, value by value: ${size(row.inputs[0])} + ${size(row.inputs[1])} = ${size(out)}. Main path: ` +
      `${name(row.main, rows)}; shortcut: ${name(row.shortcut, rows)}, ${kinds[row.shortcut_kind]}.`;
  }
  if (row.kind === "zero_pad") {
    const [step, more] = [Math.ceil(x[2] / out[2]), out[1] - x[1]];
    return `Option A. Pixels: ${step > 1 ? `every ${step}. one, ⌈${x[2]} / ${step}⌉ = ${out[2]}` : "all"}. ` +
      `Channels: ${x[1]} + ${more} of zeros = ${out[1]}. Nothing is learnt.`;
  }
  if (/^(ReLU|relu)$/.test(row.kind)) return "max(0, x), value by value: the shape stays.";
  if (/^BatchNorm/.test(row.kind)) return "Each channel less a mean, over a deviation (in train() the batch's), then scaled and shifted: the shape stays.";
  if (/^AdaptiveAvgPool/.test(row.kind) && x.length === 4 && out[2] * out[3] === 1) {
    return `The mean of ${times(...x.slice(2))} = ${thousands(x[2] * x[3])} pixels in each of ${x[1]} channels.`;
  }
  if (row.kind === "flatten") return `${times(...x.slice(1))} = ${thousands(out[1])} values in a row.`;
  if (row.kind === "Linear") return "Every output is a weighted sum of all inputs.";
  if (/^MaxPool/.test(row.kind)) return "The largest value in each window.";
  if (/^AvgPool/.test(row.kind)) return "The mean of each window.";
  if (/^Conv\dd$/.test(row.kind)) return `${row.kernel.join("×")} convolution, every output channel from ${row.groups > 1 ? "some" : "all"} input channels.`;
  return "";
}

/** All that can be worked out for a row: { deed, lines: [[what, formula], ...] }. */
export function explain(row, rows) {
  return {
    deed: deed(row, rows),
    lines: [...sides(row), ...parameters(row), ...work(row), ...memory(row), ...field(row, rows)],
  };
}
