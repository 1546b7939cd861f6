// The network explorer: settings, the net drawn to scale, a block opened, formulas, and the table of all layers.
//
// One direction: settings -> runNet (engine.js) -> draw. A model of the reader's own comes as rows (`traced`) and is
// drawn in the same way, without settings.

import { add } from "./lib/block_math.js";
import { blockView, style as blockStyle } from "./lib/blockview.js";
import { DEFAULTS, DEPTHS, expand, hasBottlenecks, runNet, written } from "./lib/engine.js";
import { explain } from "./lib/formula.js";
import { layerTable, rounded, style as tableStyle } from "./lib/layers.js";
import { drawing, style as drawingStyle } from "./lib/slabs.js";
import { addStyle } from "./lib/style.js";
import { announcer, button, frame, h, numberField, onFrame, radioField, say, selectField, thousands } from "./lib/ui.js";
import style from "./network.css";

export { explain, runNet };

/** Label of each setting, and the words of its values. */
const WORDS = {
  family: ["Family", [["imagenet", "ImageNet"], ["cifar", "CIFAR-10"]]],
  shortcut: ["Shortcut", [["identity", "x as it is, always"], ["zero_pad", "A: zero padding"],
    ["projection", "B: 1×1 where the shape changes"], ["projection_all", "C: 1×1 in every block"]]],
  stride_on: ["Stride 2 on the", [["3x3", "3×3 (torchvision)"], ["1x1", "1×1 (the paper)"]]],
  stem: ["Stem", [["imagenet", "7×7, stride 2, pool"], ["cifar", "3×3"]]],
  pool: ["Pooling at the end"],
  mode: ["Batch norm in", [["eval", "eval()"], ["train", "train()"]]],
  width: ["Channels of the first stage"],
  num_classes: ["Classes"],
};
const SETTINGS = [...Object.keys(WORDS), "depth", "residual", "batch", "input"];
const NO_PLAIN = "plain nets have 18 or 34 layers";

const title = (c) => `${c.residual ? "ResNet" : "Plain"}-${c.depth}`;
const summary = (c) => `${title(c)}, ${written([c.batch, ...c.input])}`;

const inWords = rounded("long");

/** "+1,234 (+5.6%)", "+9,000 (× 10)", "−9,000 (÷ 10)", "no change". */
export function difference(now, before) {
  if (now === before) return "no change";
  const sign = now > before ? "+" : "−";
  const [factor, share] = [Math.max(now / before, before / now), Math.abs(now / before - 1) * 100];
  const short = (n) => thousands(Number(n.toPrecision(3)));
  const words = factor < 10 ? `${share < 0.01 ? "less than 0.01" : sign + short(share)}%` : `${now > before ? "×" : "÷"} ${short(factor)}`;
  return `${sign}${thousands(Math.abs(now - before))}${factor < Infinity ? ` (${words})` : ""}`;
}

const poolings = ({ pool, family }) => {
  const window = pool || (family === "cifar" ? 8 : 7);
  return [[0, "global mean"], [window, `${window}×${window} window, fixed`]];
};

/** The choice `c` in words: its summary, and whatever else is not as in `now`. */
function named(c, now) {
  const more = Object.entries(WORDS).filter(([key]) => c[key] !== now[key] && (key !== "shortcut" || c.residual)
    && (key !== "stride_on" || hasBottlenecks(c))).map(([key, [label, words = poolings(c)]]) =>
    `${label} “${words.find(([value]) => value === c[key])?.[1] ?? c[key]}”`);
  return summary(c) + (more.length ? ` (${more.join(", ")})` : "");
}

/** The settings' controls. onchange(changes, done). Returns { node, set(config) }. */
function controls(config, onchange) {
  const one = (key, options = WORDS[key][1], label = WORDS[key][0]) =>
    ({ label, options, value: config[key], onchange: (value, done) => onchange({ [key]: value }, done) });
  const choices = { // those whose options follow the other settings
    depth: (c) => DEPTHS[c.family].map((d) => [d, String(d), !c.residual && hasBottlenecks({ ...c, depth: d }) && NO_PLAIN]),
    residual: (c) => [[true, "residual"], [false, "plain", hasBottlenecks(c) && NO_PLAIN]],
    pool: poolings,
  };
  const side = (label, i) => numberField({
    label, unit: "pixels", min: 8, max: 512, value: config.input[i],
    onchange: (value, done) => {
      const input = [...fields.now.input];
      input[i] = value;
      if (square.checked) input[3 - i] = value;
      onchange({ input }, done);
    },
  });
  const square = h("input", { type: "checkbox", checked: config.input[1] === config.input[2] });
  const fields = { now: config };
  const all = {
    family: radioField(one("family")),
    residual: radioField(one("residual", choices.residual(config), "Kind")),
    depth: selectField(one("depth", choices.depth(config), "Depth (layers)")),
    shortcut: selectField(one("shortcut")),
    stride_on: radioField(one("stride_on")),
    stem: radioField(one("stem")),
    width: numberField({ ...one("width"), min: 1, max: 256 }),
    batch: numberField({ ...one("batch", 0, "Batch"), unit: "images", min: 1, max: 256 }),
    pool: radioField(one("pool", poolings(config))),
    mode: radioField(one("mode")),
  };
  const nodes = Object.values(all).map((field) => field.node);
  const [height, width] = [side("Image height", 1), side("Image width", 2)];
  const equal = h("label", { class: "rx-equal" }, square, " square image");
  square.addEventListener("change", () => {
    if (square.checked) onchange({ input: [fields.now.input[0], fields.now.input[1], fields.now.input[1]] }, true);
  });
  const told = h("span", { class: "rx-unit" });
  const node = h("div", {},
    h("div", { class: "rx-controls" }, nodes.slice(0, 5), height.node, width.node,
      h("div", { class: "rx-field" }, equal)),
    h("details", { class: "rx-more" }, h("summary", {}, "More settings ", told), h("div", { class: "rx-controls" }, nodes.slice(5))));
  return {
    node,
    set(c) {
      fields.now = c;
      for (const [key, field] of Object.entries(all)) field.set(c[key], choices[key]?.(c));
      all.shortcut.node.hidden = !c.residual; // what a net has not cannot be chosen
      all.stride_on.node.hidden = !hasBottlenecks(c);
      height.set(c.input[1]);
      width.set(c.input[2]);
      if (c.input[1] !== c.input[2]) square.checked = false;
      say(told, `(${c.stem === "imagenet" ? "7×7" : "3×3"} stem, ${c.width} channels, batch ${c.batch}, ` +
        `${c.pool ? `${c.pool}×${c.pool}` : "global"} pooling, ${c.mode}())`);
    },
  };
}

/** The settings after a change: what cannot be together is put right, and a new family has its own usual values. */
export function settle(config, changes) {
  const next = { ...config, ...changes };
  if (changes.family && changes.family !== config.family) {
    Object.assign(next, DEFAULTS[changes.family], { pool: 0, input: [...DEFAULTS[changes.family].input] });
  }
  if (!next.residual && hasBottlenecks(next)) {
    if (changes.depth) next.residual = true;
    else next.depth = 34;
  }
  return next;
}

/** Numbers of the whole net, each with its difference to the choice before. */
function totals() {
  const items = [
    ["parameters", (v) => v.params], ["multiply-adds", (v) => v.macs], ["bytes of activations", (v) => v.bytes],
    ["additions", (v) => v.rows.filter((row) => row.kind === "add").length],
  ].map(([name, value]) => {
    const [number, more] = [h("strong", {}), h("span", { class: "rx-delta" })];
    return { value, number, more, node: h("div", { class: "rx-total" }, h("span", {}, name), number, more) };
  });
  const versus = h("p", { class: "rx-versus" });
  return {
    node: h("div", {}, h("div", { class: "rx-totals" }, items.map((item) => item.node)), versus),
    /** before: the choice before, as runNet has it, with its `name`; null for none. */
    set(view, before) {
      const whole = !view.error && !before?.error; // up to an error there is nothing to compare
      for (const { value, number, more } of items) {
        const now = value(view);
        say(number, thousands(now));
        const text = before && whole ? difference(now, value(before)) : "";
        say(more, text);
        more.className = `rx-delta ${text[0] === "+" ? "rx-up" : text[0] === "−" ? "rx-down" : ""}`;
      }
      say(versus, (view.error ? "Counted up to the error. " : "") +
        (!before ? "" : whole ? `Difference to your previous choice: ${before.name}.`
          : `Your previous choice was ${before.name}${before.error ? ", which ends in an error" : ""}: nothing to compare.`));
    },
  };
}

/** What one row does, with the numbers filled in. */
function formulas() {
  const [heading, text, list] = [h("p", { class: "rx-title" }), h("p", {}), h("dl", { class: "rx-formulas" })];
  const node = h("div", { class: "rx-explain" }, heading, text, list);
  let tallest = 0;
  return {
    node,
    set(row, rows) {
      const { deed, lines } = explain(row, rows);
      say(heading, `#${row.index} ${row.path}`);
      say(text, deed || row.kind);
      const shapes = `${row.inputs.map(written).join(" and ") || "nothing"} → ${row.outputs.map(written).join(" and ") || "nothing"}`;
      list.replaceChildren(...[["shape", shapes], ...lines].flatMap(([what, formula]) => [h("dt", {}, what), h("dd", {}, formula)]));
      // It grows and never shrinks: a table that moves under a resting pointer would show one row after the other.
      tallest = Math.max(tallest, node.offsetHeight);
      node.style.minHeight = `${tallest}px`;
    },
  };
}

/** What the drawing shows: the image, every part of the net, and the place where it failed. */
function slabs(view, open) {
  const image = { name: "", group: "input", shape: view.input, words: `the image, ${written(view.input)}`, image: true };
  const items = view.parts.map((part) => {
    const add = view.rows.slice(part.first, part.last + 1).find((row) => row.kind === "add");
    const bad = view.error?.part === part.name;
    const what = part.isBlock ? `block of ${part.stage}` : part.stage || "layer";
    return {
      ...part, bad, open: part.name === open, group: part.stage || part.shape.slice(2).join("×") || "vector",
      arc: add ? (add.shortcut_kind === "identity" ? "same" : "changed") : "",
      words: bad ? `${part.name}, ${what}: ${view.error.text}` : `${part.name}, ${what}, output ${written(part.shape)}`,
    };
  });
  return [image, ...items];
}

function render({ model, el }) {
  addStyle(el, "network", [drawingStyle, tableStyle, blockStyle, style].join(""));
  const traced = model.get("traced");
  const own = Boolean(traced?.rows);
  const read = () => Object.fromEntries(SETTINGS.map((key) => [key, model.get(key)]));
  let config = read();
  let view = own ? expand(traced) : runNet(config);
  let before = null; // the choice before: { ...what runNet says of it, config }
  let [moving, hot, sent] = [false, null, ""];

  const voice = announcer();
  const panel = own ? null : controls(config, change);
  const error = h("p", { class: "rx-error", hidden: true });
  const picture = drawing({
    onhover: (item) => item.name && point(part(item.name), null, true),
    onselect: (item) => item.name && toggle(item.name),
  });
  const numbers = totals();
  const formula = formulas();
  const opened = h("div", { class: "rx-opened" });
  const closer = button("Close the block", () => {
    const name = openName();
    toggle(name);
    picture.focus(name); // the button goes
  });
  const table = layerTable({ onhover: (i, part) => point(part, i, false), onselect: (part) => part && toggle(part.name, true) });
  const heading = h("p", { class: "rx-title" });
  const hint = h("p", { class: "rx-hint" }, "Height and depth of a slab follow the height and width of its map, thickness the ",
    "channels. ", own ? "" : "Blue arcs are shortcuts that leave x as it is, dashed ones change x. ",
    "Choose a slab to open it; arrow keys move between slabs.");
  el.append(frame("Network explorer", heading, panel?.node, error, picture.node, hint, numbers.node,
    h("div", { class: "rx-inner" }, opened, formula.node), table.node, voice.node));

  const part = (name) => view.parts.find((p) => p.name === name);
  const openName = () => [model.get("selected"), view.error?.part].find(part) ?? "";

  /** Light up a part in the drawing and the table, and show the formula of one of its rows. */
  function point(where, row, scroll) {
    hot = row ?? mainRow(where);
    picture.light(where?.name);
    table.light(where, row, scroll);
    if (view.rows[hot]) formula.set(view.rows[hot], view.rows);
  }
  /** The row that says most about a part: its addition, or its first layer with a window or weights. */
  function mainRow(where) {
    if (!where) return 0;
    const rows = view.rows.slice(where.first, where.last + 1);
    return (rows.find((r) => r.kind === "add") ?? rows.find((r) => r.kernel || r.macs) ?? rows[0]).index;
  }

  function toggle(name, keep = false) {
    const next = !keep && model.get("selected") === name ? "" : name;
    model.set("selected", next);
    model.save_changes();
    drawAgain();
    const where = part(name);
    if (where) voice.say(next ? `${name} is open below the drawing.` : `${name} is closed.`);
  }

  function change(changes, done) {
    const next = settle(config, changes);
    if (!same(next)) move(next, !done);
    else if (done) moving = false;
  }
  const same = (next) => JSON.stringify(next) === JSON.stringify(config);
  /** Go on to another choice; while something is dragged, the one before it is that of the drag's beginning. */
  function move(next, dragging) {
    if (!moving) before = { ...runNet(config), config };
    moving = dragging;
    config = next;
    drawAgain();
  }

  function draw() {
    if (!own) {
      view = runNet(config);
      if (sent !== JSON.stringify(config)) {
        sent = JSON.stringify(config);
        for (const key of SETTINGS) model.set(key, config[key]);
        model.save_changes();
      }
      panel.set(config);
    }
    const name = own ? `${traced.model}, ${traced.inputs.map(written).join(" and ")}` : summary(config);
    say(heading, name);
    error.hidden = !view.error;
    if (view.error) {
      const { type, path, text, message, shapes } = view.error; // the tracer adds something where it knows the way out
      // Only a shortcut that leaves x as it is can fail to fit: what `+` would say of the two without add_shortcut.
      const plus = type === "ShapeMismatchError" && add(view.rows.at(-1).outputs[0], shapes[0]).error;
      error.replaceChildren(h("strong", {}, `${type} in ${path}: `), text,
        message.endsWith(text) ? "" : h("span", { class: "rx-small" }, message),
        plus ? h("span", { class: "rx-small" }, `PyTorch's own +: RuntimeError: ${plus}`) : "");
    }
    const open = openName();
    picture.set(slabs(view, open), `${name}: ${view.parts.length} parts, drawn to scale`);
    numbers.set(view, before && !same(before.config) ? { ...before, name: named(before.config, config) } : null);
    table.set(view, `${name}: ${view.rows.length} operations`);
    showBlock(open);
    const where = part(open) ?? view.parts.find((p) => p.first <= hot && hot <= p.last) ?? view.parts[0];
    point(where, where && where.first <= hot && hot <= where.last ? hot : null, false);
    voice.say(spoken());
  }

  function showBlock(open) {
    const where = part(open);
    opened.hidden = !where;
    if (!where) return opened.replaceChildren();
    const rows = view.rows.slice(where.first, where.last + 1);
    const failed = view.error?.part === open ? view.error : null;
    const name = `${open}${where.stage && where.stage !== open ? `, of ${where.stage}` : ""}`;
    opened.replaceChildren(h("p", { class: "rx-title" }, name), blockView(rows, {
      title: name, error: failed, onhover: (i) => point(where, i, true),
    }), failed && model.get("selected") !== open ? "" : closer);
  }

  function spoken() {
    if (view.error) return `${view.error.type} in ${view.error.path}: ${view.error.text}`;
    return `${own ? traced.model : summary(config)}: ${inWords(view.params)} parameters, ${inWords(view.macs)} multiply-adds.`;
  }

  const drawAgain = onFrame(draw);
  function fromKernel() {
    const next = read();
    if (same(next)) return;
    move(next, false);
    sent = JSON.stringify(config);
  }
  const watched = own ? [] : SETTINGS;
  const heard = () => queueMicrotask(fromKernel); // when all that are set together are set: of some there is no net
  for (const key of watched) model.on(`change:${key}`, heard);
  model.on("change:selected", drawAgain);
  sent = JSON.stringify(config);
  draw();
  voice.stop(); // nothing has been moved yet
  return () => {
    for (const key of watched) model.off(`change:${key}`, heard);
    model.off("change:selected", drawAgain);
    drawAgain.cancel();
    voice.stop();
  };
}

export default { render };
