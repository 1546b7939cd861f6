// The dissecting table: four trained nets read the reader's own digit, and one of them lies open: its maps, block by
// block, branches to switch off or to scale, blocks to exchange.
//
// Traits: files (net -> sha256 and bytes of its weights), net (the one that is open), image (the test image), off (names
// of its blocks that are off at first) and, where there is a kernel, _worker (the worker's source). What is computed:
// workers/dissecting.js and conv_net.js. Here is what is seen and chosen.
import { addChartStyle, listen, liveTable, named, put } from "./lib/chart.js";
import { netWorker } from "./lib/net_worker.js";
import { digitPicture, mapCanvas, paint, perRow } from "./lib/maps.js";
import { drawingPad } from "./lib/pad.js";
import { NET_LINES, number, percent } from "./lib/plot.js";
import { announcer, button, frame, h, numberField, onFrame, patch, radioField, say, selectField, svg, uid } from "./lib/ui.js";
import STYLE from "./dissecting.css";

export { rasterise } from "./lib/pad.js"; // for its test

const TESTED = 200;
const PARTS = { x: "x", f: "F(x)", sum: "x + F(x)" };

const kindOf = (net) => (net.startsWith("resnet") ? "resnet" : "plain");
const line = (net) => ({ net, width: net.endsWith("56") ? 3.6 : 2, ...NET_LINES[kindOf(net) === "plain" ? "plain" : "residual"] });
const best = (shares) => shares.indexOf(Math.max(...shares));
const whole = (share) => `${Math.round(100 * share)}%`;
const clamp = (value, most) => Math.max(0, Math.min(most, value));

function render({ model, el, worker, data }) {
  addChartStyle(el, "dissecting", STYLE);
  const nets = Object.keys(model.get("files"));
  const engine = netWorker({ model, worker, data, heard: (message) => heard(message), failed: (error) => failed(error) });
  const voice = announcer();

  const blocks = {}; // net -> what its worker says of its blocks, once it is there
  const changes = Object.fromEntries(nets.map((net) => [net, { factors: {}, order: null }]));
  for (const name of model.get("off")) changes[model.get("net")].factors[name] = 0;
  let problem = "";
  let drawn = null; // the reader's image, instead of a test image
  let seen = null; // the worker's last answer: { image, label, answers, inside, open }
  let [asked, busy, again, spoken] = [0, false, false, false];
  let errors = {}; // of the open net: { whole, now }, percent
  let lesions = {}; // net -> { changed, all }
  let place = 0; // of the block that is looked at
  let [part, channel, pixel] = ["f", 0, [0, 0]];

  const open = () => model.get("net");
  const sketch = () => (drawn.some(Boolean) ? "your drawing" : "an empty pad");
  const residual = () => kindOf(open()) === "resnet";
  const mine = () => changes[open()];
  const isWhole = ({ factors, order }) => !order && !Object.values(factors).some((factor) => factor !== 1);
  const blockAt = (at) => blocks[open()][mine().order?.[at] ?? at];
  const factorAt = (at) => mine().factors[blockAt(at).name] ?? 1;

  // ---- the worker ----

  function load() {
    openAll.disabled = true;
    problem = "";
    const missing = [open(), ...nets.filter((name) => name !== open())].filter((name) => !blocks[name]);
    if (!missing.length) ask(); // they are there: it was an answer that failed
    return engine.open(missing, (net) => say(openAll, `Loading ${net} …`));
  }

  function failed(error) {
    problem = `The nets could not be opened here: ${error.message ?? "the browser refuses a worker"}.`;
    openAll.disabled = busy = false;
    say(openAll, "Try again");
    draw();
  }

  /** Ask for what is to be seen; while an answer is on its way, once it has come. */
  function ask(aloud = true) {
    spoken ||= aloud;
    if (!Object.keys(blocks).length) return;
    if (busy) return void (again = true);
    busy = true;
    const image = drawn ? { image: drawn } : { test: model.get("image") };
    engine.post({ look: { id: ++asked, open: open(), changes, ...image } });
  }

  function heard(message) {
    if (message.problem) return failed({ message: `${message.net}: ${message.problem}` });
    if (message.net) {
      blocks[message.net] = message.blocks;
      return ask(message.net === open());
    }
    if (message.id !== asked) return undefined; // of an image that is gone
    if (message.answers) {
      busy = false;
      seen = message;
      lesions = {};
      if (again) ask(again = false);
      else if (spoken) speak();
      return draw();
    }
    if (message.lesions) Object.assign(lesions, message.lesions);
    else if (message.error.net === open()) errors[message.error.whole ? "whole" : "now"] = message.error;
    return count(); // forty times for an error: the pictures stay
  }

  function speak() {
    spoken = false;
    const answer = seen.answers[open()];
    if (!answer) return;
    const { now, before } = answer;
    voice.say(isWhole(mine()) ? `${Object.entries(seen.answers).map(([net, { now: p }]) => `${net} says ${best(p)}, ${whole(Math.max(...p))}`).join("; ")}.`
      : `${open()} as it is now says ${best(now)}, ${whole(Math.max(...now))}; whole, ${best(before)}.`);
  }

  // ---- what is chosen ----

  /** Change the open net, and look again. */
  function cut(change, words) {
    Object.assign(mine(), change);
    delete errors.now;
    if (words) say(note, words);
    ask();
    draw();
  }
  const setFactor = (at, factor) => cut({ factors: { ...mine().factors, [blockAt(at).name]: factor } });

  function toggle(at) {
    if (!isThere()) return; // these are still the blocks of another net
    const { name, keeps } = blockAt(at);
    place = at;
    if (!residual() && !keeps) {
      stages.children[blocks[open()][at].stage - 1].append(note); // where it is seen
      cut({}, `${name} of ${open()} halves the maps and doubles their number. Nothing passes around it: without it, the next block would get a shape that it cannot take. So it stays.`);
    } else {
      setFactor(at, factorAt(at) === 0 ? 1 : 0);
      say(note, "");
    }
    voice.say(note.textContent || `${name} ${factorAt(at) ? "on" : "off"}.`);
  }

  function swap(a, b) {
    const order = mine().order ?? blocks[open()].map((_, i) => i);
    [order[a], order[b]] = [order[b], order[a]];
    place = b;
    cut({ order: order.some((block, i) => block !== i) ? [...order] : null }, "");
  }

  function openNet(net) {
    put(model, { net });
    say(note, "");
  }

  const pad = drawingPad({ voice, onchange(image, done) {
    drawn = image;
    ask(done);
    if (!seen) draw();
  } });
  const test = numberField({
    label: "Test image", min: 0, max: TESTED - 1, value: model.get("image"),
    onchange: (value) => {
      drawn = null;
      pad.empty();
      put(model, { image: value });
      ask();
    },
  });
  const openAll = button(`Open the four nets (${engine.megabytes(nets).toFixed(1)} MB)`, load, { class: "rx-button rx-ds-open" });
  const wrong = h("div", { class: "rx-error", role: "alert", hidden: true });
  const note = h("div", { class: "rx-note rx-ds-note" });

  // ---- the answers ----

  const input = digitPicture("What the nets see");
  const cause = digitPicture("Where the answer comes from");
  const causeText = h("figcaption");
  const inputText = h("figcaption");
  const cards = Object.fromEntries(nets.map((net) => {
    const answer = h("span", { class: "rx-ds-answer" });
    const sure = h("span");
    const bars = Array.from({ length: 10 }, () => h("i"));
    const node = h("button", { type: "button", class: `rx-ds-net rx-ds-${kindOf(net)}`, disabled: true, onclick: () => openNet(net) },
      h("span", { class: "rx-ds-name" }, named(line(net))), h("span", { class: "rx-ds-says" }, answer, sure),
      h("span", { class: "rx-ds-bars", "aria-hidden": "true" }, bars.map((bar, digit) => h("span", {}, h("span", {}, bar), String(digit)))));
    return [net, { node, answer, sure, bars }];
  }));
  const share = h("p", { class: "rx-ds-share" });
  const results = liveTable("The open net, whole and as it is now");
  const restore = button("Put it together again", () => {
    cut({ factors: {}, order: null }, "");
    voice.say(`${open()} is whole again.`);
  });

  const isThere = () => seen?.inside && seen.inside.net === open();

  /** What is counted piece by piece: lesions, and the errors. */
  function drawCounts() {
    if (!isThere()) return;
    const sum = (kind) => Object.entries(lesions).filter(([net]) => kindOf(net) === kind).reduce((sums, [, { changed, all }]) => [sums[0] + changed, sums[1] + all], [0, 0]);
    const times = ([changed, all]) => `${changed} of ${all} times (${whole(changed / (all || 1))})`;
    const waiting = Object.keys(lesions).length < nets.length;
    share.hidden = waiting && Boolean(problem); // a net could not be opened
    say(share, waiting ? "Leaving out every block once …"
      : `Leave any single block out of the whole nets, and the answer for this image changes ${times(sum("plain"))} in the plain nets, ${times(sum("resnet"))} in the residual ones: ${nets.map((net) => `${net} ${lesions[net].changed} of ${lesions[net].all}`).join(", ")}.`);
    const answer = seen.answers[open()];
    const told = (error) => (!error ? "…" : percent(error.percent) + (error.images < TESTED ? ` of ${error.images} …` : ""));
    const row = (words, p, error) => [words, String(best(p)), whole(Math.max(...p)), told(error)];
    results.fill({
      caption: `${open()}: this image, and the error on ${TESTED} test images`,
      columns: [[""], ["answer", "number"], ["sure", "number"], ["error", "number"]],
      rows: [row("whole", answer.before, errors.whole), row("now", answer.now, isWhole(mine()) ? errors.whole : errors.now)],
    });
  }
  const count = onFrame(drawCounts);

  function drawAnswers() {
    const { answers, image, label, inside } = seen;
    const is = drawn ? sketch() : `test image ${model.get("image")}, a ${label}`;
    input.fill(image, is);
    say(inputText, `What the nets see: ${is}`);
    for (const [net, { node, answer, sure, bars }] of Object.entries(cards)) {
      const found = answers[net]?.now;
      node.disabled = !found;
      patch(node, { "aria-pressed": String(net === open()) });
      if (!found) continue;
      const digit = best(found);
      const changed = !isWhole(changes[net]);
      say(answer, String(digit));
      say(sure, `${whole(found[digit])}${changed ? ", cut" : ""}`);
      patch(answer, { "data-wrong": label !== null && digit !== label ? "true" : null });
      patch(node, { "aria-label": `${net}${changed ? ", cut" : ""} says ${digit}, ${whole(found[digit])}. Open it.` });
      bars.forEach((bar, i) => (bar.style.height = `${Math.max(2, 100 * found[i])}%`));
    }
    const answer = answers[open()];
    restore.disabled = isWhole(mine());
    const digit = best(answer.now);
    const side = Math.sqrt(inside.evidence.length);
    const most = Math.max(...inside.evidence.map(Math.abs), 1e-9);
    cause.fill(image, `${open()} says ${digit}; from left to right and from top to bottom its places add ${inside.evidence.map((v) => v.toFixed(1)).join(", ")}`);
    cause.marks.replaceChildren(...inside.evidence.flatMap((v, p) => {
      const [size, left, top] = [8 / side, (p % side) * (8 / side), Math.floor(p / side) * (8 / side)];
      return [
        svg("rect", { x: left, y: top, width: size, height: size, fill: v < 0 ? "#c62a2a" : "#1f6aa5", opacity: 0.1 + (0.5 * Math.abs(v)) / most }),
        svg("text", { x: left + size / 2, y: top + size / 2 + 0.3, "text-anchor": "middle", "aria-hidden": "true" }, `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(1)}`),
      ];
    }));
    say(causeText, `Why ${open()} says ${digit}: what each quarter adds to its logit (class activation map)`);
  }

  // ---- the blocks in a row ----

  const stages = h("div", { class: "rx-ds-stages" });
  let rows = []; // a function for each block, which draws it

  function layOut() {
    if (stages.net === open() || !blocks[open()]) return;
    stages.net = open();
    const groups = [1, 2, 3].map((stage) => blocks[open()].flatMap((block, at) => (block.stage === stage ? [at] : [])));
    rows = [];
    stages.replaceChildren(...groups.map((group, stage) => {
      const title = h("div", { class: "rx-title" });
      const cells = group.map((at) => {
        const pictures = Object.fromEntries(Object.keys(PARTS).map((key) => [key, [mapCanvas({ "aria-hidden": "true" }), h("span"), h("span", { class: "rx-ds-gone" })]]));
        const name = h("strong");
        const lookAt = h("button", { type: "button", class: "rx-ds-look", onclick: () => {
          place = at;
          draw();
        } }, name, Object.entries(pictures).map(([key, [canvas, text, gone]]) => h("span", { class: `rx-ds-${key}` }, canvas, gone, text)));
        const onOff = h("button", { type: "button", class: "rx-button", role: "switch", onclick: () => toggle(at) });
        const node = h("div", { class: "rx-ds-block" }, lookAt, onOff);
        rows.push((found, last) => {
          const { name: block, keeps } = blockAt(at);
          const factor = factorAt(at);
          say(name, block);
          say(onOff, factor === 0 ? "off" : factor === 1 ? "on" : `× ${factor.toFixed(1)}`);
          patch(onOff, { "aria-checked": String(factor !== 0), "aria-label": `${residual() ? "Branch of " : ""}${block}`, "data-fixed": residual() || keeps ? null : "true" });
          patch(node, { "data-off": factor === 0 ? "true" : null, "data-moved": blocks[open()][at].name !== block ? "true" : null });
          patch(lookAt, { "aria-pressed": String(at === place), "aria-label": `Look into ${block}: ${Object.keys(PARTS).filter((key) => found[key]).map((key) => `${PARTS[key]} ${number(found[key].size)}`).join(", ")}` });
          const scale = scaleOf(found);
          for (const [key, [canvas, text, gone]] of Object.entries(pictures)) {
            const maps = found[key];
            canvas.hidden = !maps;
            gone.hidden = Boolean(maps);
            if (maps) paint(canvas, maps, scale);
            say(gone, factor === 0 ? "off" : "");
            say(text, maps ? `${PARTS[key]} ${number(maps.size)}` : key === "sum" ? "" : PARTS[key]);
            text.parentElement.hidden = key === "sum" && !residual();
          }
          if (at === group[0]) say(title, `Stage ${stage + 1}: ${group.length} blocks, ${last.channels} maps of ${last.side} × ${last.side}`);
        });
        return node;
      });
      return h("section", {}, title, h("div", { class: "rx-ds-row", tabindex: "0", role: "region", "aria-label": `Blocks of stage ${stage + 1}` }, cells));
    }));
  }

  /** What is white in a block's pictures, which share one scale: twice the root mean square of the largest of them. */
  const scaleOf = (found) => 2 * Math.max(...Object.keys(PARTS).map((key) => (found[key] ? found[key].size / Math.sqrt(found[key].values.length) : 0)));

  // ---- one block, enlarged ----

  const title = h("div", { class: "rx-title" });
  const id = uid("factor");
  const factor = h("input", { class: "rx-range", type: "range", id, min: 0, max: 2, step: 0.1, oninput: () => setFactor(place, Number(factor.value)) });
  const factorText = h("output", { for: id });
  const factorField = h("div", { class: "rx-field" }, h("label", { for: id }, "Branch, times"), h("div", { class: "rx-pair" }, factorText, factor));
  const exchange = selectField({ label: "Change places with", options: [["", "…"]], value: "", onchange: (at) => at !== "" && swap(place, at) });
  const which = radioField({ label: "Maps of", options: [], value: part, onchange: (value) => {
    part = value;
    draw();
  } });
  const map = numberField({ label: "Map", min: 0, max: 63, value: 0, onchange: (value) => {
    channel = value;
    draw();
  } });
  const mosaic = mapCanvas({ role: "img", "aria-label": "All maps", onclick(event) {
    const { maps, columns } = looked();
    const box = mosaic.getBoundingClientRect();
    const across = (at, from, size, pixels) => Math.floor(((at - from) / size) * pixels / (maps.side + 1));
    channel = clamp(across(event.clientY, box.top, box.height, mosaic.height) * columns + across(event.clientX, box.left, box.width, mosaic.width), maps.channels - 1);
    draw();
  } });
  const single = mapCanvas({ role: "img", "aria-label": "One map" });
  const cursor = h("div", { class: "rx-ds-cursor", role: "slider", tabindex: "0", "aria-label": "Pixel of the map" });
  const point = (event) => {
    const { side } = looked().maps;
    const box = cursor.parentElement.getBoundingClientRect();
    pixel = [event.clientY - box.top, event.clientX - box.left].map((v) => clamp(Math.floor((v / box.width) * side), side - 1));
    draw();
  };
  const big = h("div", { class: "rx-ds-big", onpointermove: point, onpointerdown: point }, single, cursor);
  cursor.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    const { side } = looked().maps;
    pixel = pixel.map((v, axis) => clamp(v + by[axis], side - 1));
    draw();
  });
  const view = digitPicture("What this pixel depends on");
  const [mosaicText, singleText, viewText] = Array.from({ length: 3 }, () => h("figcaption"));

  const available = () => Object.keys(PARTS).filter((key) => seen.inside.blocks[place][key]);
  function looked() {
    const found = seen.inside.blocks[place];
    const key = found[part] ? part : "x";
    return { found, key, maps: found[key], columns: perRow(found[key].channels) };
  }

  function drawBlock() {
    const { name } = blockAt(place);
    const { found, key, maps } = looked();
    channel = clamp(channel, maps.channels - 1);
    pixel = pixel.map((v) => clamp(v, maps.side - 1));
    say(title, `${name} of ${open()}, enlarged`);
    factorField.hidden = !residual();
    factor.value = factorAt(place);
    say(factorText, factorAt(place).toFixed(1));
    patch(factor, { "aria-valuetext": `times ${factorAt(place).toFixed(1)}` });
    const like = blocks[open()].flatMap(({ stage }, at) => (at !== place && stage === blocks[open()][place].stage && blockAt(at).keeps ? [[at, blockAt(at).name]] : []));
    exchange.set("", blockAt(place).keeps ? [["", "…"], ...like] : [["", "none has its shape"]]);
    which.set(key, available().map((one) => [one, PARTS[one]]));
    map.set(channel, { max: maps.channels - 1 });
    const scale = scaleOf(found);
    paint(mosaic, maps, scale);
    paint(single, maps, scale, channel);
    const value = maps.values[(pixel[0] * maps.side + pixel[1]) * maps.channels + channel];
    const where = `row ${pixel[0]}, column ${pixel[1]}: ${number(value)}`;
    say(mosaicText, `${PARTS[key]}, all ${maps.channels} maps; its size is ${number(maps.size)}`);
    say(singleText, `Map ${channel}, ${where}`);
    patch(mosaic, { "aria-label": mosaicText.textContent });
    patch(single, { "aria-label": singleText.textContent });
    Object.assign(cursor.style, { width: `${100 / maps.side}%`, height: `${100 / maps.side}%`, left: `${(100 * pixel[1]) / maps.side}%`, top: `${(100 * pixel[0]) / maps.side}%` });
    const { step, reach } = found.fields[key];
    const [rows8, columns8] = pixel.map((v) => [clamp(v * step - reach, 7), clamp(v * step + reach, 7)]);
    const [high, wide] = [rows8, columns8].map(([from, to]) => to - from + 1);
    const reaches = high * wide === 64 ? "all of the image" : `${high} × ${wide} pixels of the image`;
    const field = `This pixel depends on ${reaches}; its field is ${2 * reach + 1} × ${2 * reach + 1}`;
    view.fill(seen.image, field);
    view.marks.replaceChildren(svg("rect", { class: "rx-ds-field", x: columns8[0] + 0.08, y: rows8[0] + 0.08, width: wide - 0.16, height: high - 0.16 }));
    say(viewText, field);
    patch(cursor, { "aria-valuenow": pixel[0] * maps.side + pixel[1], "aria-valuemin": 0, "aria-valuemax": maps.side ** 2 - 1, "aria-valuetext": `${where}. ${field}` });
  }

  // ---- all of it ----

  const table = h("div", { hidden: true },
    h("div", { class: "rx-ds-nets", role: "group", "aria-label": "The four answers; each opens its net" }, Object.values(cards).map(({ node }) => node)),
    share,
    h("div", { class: "rx-row" }, h("div", { class: "rx-ds-results" }, results.node), restore),
    note,
    stages,
    h("p", { class: "rx-hint" }, "Grey is zero, white is large, black is large and negative; the pictures of a block have one scale. Below each is its size, the root of the sum of its squares. ",
      "x is what the block gets. F(x) is its branch, before the addition; in a plain net it is all there is. Blocks are called as in PyTorch; a click on their pictures enlarges them."),
    title,
    h("div", { class: "rx-controls" }, which.node, map.node, factorField, exchange.node),
    h("div", { class: "rx-ds-figures" }, h("figure", {}, mosaic, mosaicText), h("figure", {}, big, singleText), h("figure", {}, view.node, viewText)));
  const why = h("figure", {}, cause.node, causeText);
  const figures = h("div", { class: "rx-ds-figures" }, h("figure", {}, input.node, inputText), why);
  const about = h("p", { class: "rx-hint" }, "Two plain nets and two residual ones, of 20 and of 56 layers, trained on scikit-learn's digits. They come into this page and stay in it, and so does what you draw.");
  el.append(frame("Dissecting table",
    h("div", { class: "rx-ds-top" }, h("div", {}, pad.node, h("div", { class: "rx-ds-test" }, "or take a test image:", test.node)), h("div", {}, openAll, wrong, about, figures)),
    table, voice.node));

  function drawAll() {
    wrong.hidden = !problem;
    say(wrong, problem);
    openAll.hidden = Object.keys(blocks).length === nets.length && !problem;
    about.hidden = openAll.hidden;
    table.hidden = why.hidden = !seen?.inside;
    figures.hidden = !seen && !drawn;
    if (!seen && drawn) input.fill(drawn, inputText.textContent = `What the nets see: ${sketch()}`);
    if (!isThere()) return; // its answer is on its way
    place = clamp(place, blocks[open()].length - 1); // it may have been chosen before that came, in another net
    layOut();
    drawAnswers();
    drawCounts();
    rows.forEach((row, at) => row(seen.inside.blocks[at], seen.inside.blocks[at].sum ?? seen.inside.blocks[at].f ?? seen.inside.blocks[at].x));
    drawBlock();
  }
  const draw = onFrame(drawAll);
  drawAll();
  const ends = [
    listen(model, "net", () => {
      [errors, place] = [{}, clamp(place, (blocks[open()]?.length ?? 1) - 1)];
      ask();
      draw();
    }),
    listen(model, "image", () => {
      if (test.value !== model.get("image")) test.set(model.get("image"));
      if (!drawn) ask();
    }),
    voice.stop, draw.cancel, count.cancel, engine.end,
  ];
  return () => ends.forEach((end) => end());
}

export default { render };
