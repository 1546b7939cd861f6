// One residual block with each of the shortcuts: engine.js runs it, and here is what PyTorch's `+` says of the branches.
// tests/widgets/test_block.py compares both with the traces of the real blocks and with PyTorch.
import { Run, SHORTCUTS as KINDS } from "./engine.js";

export const SHORTCUTS = ["none", ...KINDS];

/**
 * What `+` makes of two shapes of equal length: { error } in PyTorch's own words, or { shape }. Where one side has size
 * 1 it is repeated in silence: then `broadcast` is true.
 */
export function add(a, b) {
  for (let i = a.length - 1; i >= 0; i--)
    if (a[i] !== b[i] && a[i] !== 1 && b[i] !== 1)
      return { error: `The size of tensor a (${a[i]}) must match the size of tensor b (${b[i]}) at non-singleton dimension ${i}` };
  return { shape: a.map((n, i) => Math.max(n, b[i])), broadcast: a.some((n, i) => n !== b[i]) };
}

/**
 * A block { kind: "basic" | "bottleneck", cin, cout, size, stride } with one of SHORTCUTS; a bottleneck needs `cout` = 4
 * times its width. Returns { shortcut, rows, params, macs, main, lane, shape, error, broadcast }: rows as the tracer's,
 * shapes of both branches and of the output with a batch of 1 (null where there is none), error as engine.js has it.
 */
export function block({ kind, cin, cout, size, stride }, shortcut) {
  const deep = kind === "bottleneck";
  const config = { family: "imagenet", depth: deep ? 50 : 18, residual: shortcut !== "none", stride_on: "3x3" };
  const run = new Run({ ...config, shortcut });
  const input = [1, cin, size, size];
  const fail = (type, text, more) => ({ type, text, path: "block", shapes: [input], ...more });
  const found = { shortcut, rows: run.rows, main: null, lane: null, shape: null, error: null, broadcast: false };
  if (shortcut === "zero_pad" && cout < cin) {
    const text = `shortcut='zero_pad' can only add channels, but here ${cin} would become ${cout}: use 'projection'`;
    return { ...found, params: 0, macs: 0, error: fail("ValueError", text, { kind: "zero_pad" }) };
  }
  try {
    found.shape = run.block({ shape: input, field: { size: 1, jump: 1 }, row: "input" }, "block", deep ? cout / 4 : cout, stride).shape;
    [found.main, found.lane = null] = run.rows.find((row) => row.kind === "add")?.inputs ?? [found.shape];
  } catch (failure) {
    if (failure.type !== "ShapeMismatchError") throw failure; // this one is add_shortcut's; PyTorch's own words follow
    [found.main, found.lane] = [run.rows.at(-1).outputs[0], input]; // only an identity does not fit
    const { error, ...sum } = add(found.main, found.lane);
    Object.assign(found, sum, { error: error ? fail("RuntimeError", error, { kind: "add" }) : null });
  }
  return { ...found, params: run.params, macs: run.macs };
}

/** Every shortcut of one block, in the order of SHORTCUTS. */
export const compare = (spec) => SHORTCUTS.map((shortcut) => block(spec, shortcut));
