// What all explorers share: building elements, controls that cannot hold a wrong value, and a voice for screen readers.
//
// Everything is built with createElement and text nodes: no string of data ever becomes markup.

const SVG = "http://www.w3.org/2000/svg";
let count = 0;

/** A name that no other element of the page has: several explorers share one document. */
export const uid = (stem = "x") => `rx-${stem}-${++count}-${Math.random().toString(36).slice(2, 7)}`;

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "disabled" || key === "hidden") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** An HTML element: h("p", { class: "a", onclick: f }, "text", child, [more]). */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element, in the same way. */
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Set attributes of an element that is there, only where they differ: what did not change costs nothing. */
export function patch(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) {
      if (node.hasAttribute(key)) node.removeAttribute(key);
    } else {
      const text = value === true ? "" : String(value);
      if (node.getAttribute(key) !== text) node.setAttribute(key, text);
    }
  }
  return node;
}

/** Set the text of an element, only if it differs. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  return node;
}

/** 1234567 -> "1,234,567", as the tables of the package write it. */
export const thousands = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** Call `draw` once in the next frame, however often it is asked for; .cancel() drops what is waiting. */
export function onFrame(draw) {
  let waiting = 0;
  const ask = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      draw();
    });
  };
  ask.cancel = () => {
    if (waiting) cancelAnimationFrame(waiting);
    waiting = 0;
  };
  return ask;
}

/** A region that screen readers read out when its text changes: { node, say(text) }. Put `node` into the explorer. */
export function announcer() {
  const node = h("div", { class: "rx-spoken", "aria-live": "polite", role: "status" });
  let timer = 0;
  return {
    node,
    say(text) {
      clearTimeout(timer); // the last of a quick series is what counts
      timer = setTimeout(() => say(node, text), 150);
    },
    stop: () => clearTimeout(timer),
  };
}

// ---- controls ------------------------------------------------------------------------------------------------------

/** What a typed text means as a whole number from min to max in steps: { value, problem }; value is always usable. */
export function wholeNumber(text, { min, max, step = 1, fallback }) {
  const trimmed = text.trim();
  // Digits, with commas between thousands if any; a decimal point and an exponent are read in order to be explained.
  const n = /^[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed.replace(/,/g, "")) : NaN;
  if (!Number.isFinite(n)) {
    return { value: fallback, problem: `A whole number from ${min} to ${max} is needed; ${fallback} is kept.` };
  }
  const rounded = min + Math.round((Math.min(max, Math.max(min, n)) - min) / step) * step;
  const value = rounded > max ? rounded - step : rounded;
  const quote = trimmed.length > 16 ? `${trimmed.slice(0, 12)}…` : trimmed;
  if (n < min) return { value, problem: `${quote} is too small: the least is ${min}.` };
  if (n > max) return { value, problem: `${quote} is too large: the most is ${max}.` };
  if (n !== value) {
    const rule = step === 1 ? "a whole number" : `one of ${min}, ${min + step}, ${min + 2 * step}, ...`;
    return { value, problem: `${quote} is not ${rule}: ${value} is taken.` };
  }
  return { value, problem: "" };
}

/**
 * A number with a slider beside it (slider: false leaves it out). Whatever is typed, pasted or dragged, `onchange`
 * gets a whole number from min to max; what was wrong is said below the field.
 *
 * onchange(value, done): done is true when the reader has finished, false while dragging.
 * Returns { node, get value(), set(value, limits) }, where limits may have a new { min, max, step }.
 */
export function numberField({ label, min, max, step = 1, value, onchange, slider = true, unit = "" }) {
  const id = uid("n");
  const limits = { min, max, step };
  const note = h("div", { class: "rx-note", id: `${id}-note`, "aria-live": "polite" });
  const box = h("input", {
    id, class: "rx-number", type: "text", inputmode: "numeric", autocomplete: "off", "aria-describedby": `${id}-note`,
    value: String(value), onchange: () => read(true), oninput: () => read(false),
    onkeydown(event) {
      const by = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
      if (!by) return;
      event.preventDefault();
      take(Math.min(limits.max, Math.max(limits.min, current + by * limits.step)), true);
    },
  }); // type=text: a number field drops what it cannot read, and then there is nothing to explain
  const range = !slider ? null : h("input", {
    class: "rx-range", type: "range", min, max, step, value: String(value), "aria-label": `${label}, slider`,
    oninput: () => take(Number(range.value), false), onchange: () => take(Number(range.value), true),
  });
  let current = value;

  function take(next, done, problem = "") {
    const changed = next !== current;
    current = next;
    if (range) range.value = String(next);
    if (done || document.activeElement !== box) box.value = String(next);
    box.setAttribute("aria-invalid", problem ? "true" : "false");
    say(note, problem);
    if (changed || done) onchange(next, done);
  }
  const read = (done) => {
    const { value: next, problem } = wholeNumber(box.value, { ...limits, fallback: current });
    if (done || !problem) take(next, done, problem); // while somebody is typing, "2" on the way to "224" is no mistake
  };

  const node = h("div", { class: "rx-field" },
    h("label", { for: id }, label, unit && h("span", { class: "rx-unit" }, ` (${unit})`)),
    h("div", { class: "rx-pair" }, box, range), note);
  return {
    node,
    get value() {
      return current;
    },
    set(next, change = {}) {
      const moved = next !== current;
      Object.assign(limits, change);
      if (range) patch(range, { min: limits.min, max: limits.max, step: limits.step });
      current = next;
      if (range) range.value = String(next);
      if (!moved) return; // what was explained stays until something else is chosen
      box.value = String(next);
      say(note, "");
      box.setAttribute("aria-invalid", "false");
    },
  };
}

/**
 * A choice from a list. options: [[value, text, why not (optional)], ...]; one with a reason cannot be chosen, and the
 * reason is its text. Returns { node, set(value, options) }.
 */
export function selectField({ label, options, value, onchange }) {
  const id = uid("s");
  const select = h("select", { id, class: "rx-select", onchange: () => onchange(listed[select.selectedIndex][0], true) });
  let listed = [];
  function fillIn(next) {
    listed = next;
    select.replaceChildren(...next.map(([v, text, problem]) =>
      h("option", { value: String(v), disabled: Boolean(problem) }, problem ? `${text} (${problem})` : text)));
  }
  fillIn(options);
  select.value = String(value);
  return {
    node: h("div", { class: "rx-field" }, h("label", { for: id }, label), select),
    set(next, change) {
      if (change && JSON.stringify(change) !== JSON.stringify(listed)) fillIn(change);
      select.value = String(next);
    },
  };
}

/**
 * A choice between a few words side by side: radio buttons, one tab stop, arrow keys between them.
 * options as in selectField. Returns { node, get value(), set(value, options) }.
 */
export function radioField({ label, options, value, onchange }) {
  const name = uid("r");
  const row = h("div", { class: "rx-radios" });
  let listed = [];
  let current = value;
  function fillIn(next) {
    listed = next;
    row.replaceChildren(...next.map(([v, text, problem]) => {
      const id = uid("o");
      const input = h("input", {
        type: "radio", name, id, value: String(v), checked: v === current, disabled: Boolean(problem),
        onchange: () => {
          current = v;
          onchange(v, true);
        },
      });
      return h("span", { class: "rx-radio", title: problem || null }, input, h("label", { for: id }, text,
        problem && h("span", { class: "rx-spoken" }, ` (${problem})`)));
    }));
  }
  fillIn(options);
  return {
    node: h("fieldset", { class: "rx-field" }, h("legend", {}, label), row),
    get value() {
      return current;
    },
    set(next, change) {
      current = next;
      if (change && JSON.stringify(change) !== JSON.stringify(listed)) fillIn(change);
      for (const input of row.querySelectorAll("input")) input.checked = input.value === String(next);
    },
  };
}

/** A box to tick. Returns { node, get value(), set(value) }. */
export function checkField({ label, value, onchange }) {
  const id = uid("c");
  const box = h("input", { type: "checkbox", id, checked: value, onchange: () => onchange(box.checked, true) });
  return {
    node: h("div", { class: "rx-field rx-check" }, box, h("label", { for: id }, label)),
    get value() {
      return box.checked;
    },
    set(next) {
      box.checked = next;
    },
  };
}

/** A button: button("Reset", f). */
export const button = (text, onclick, attributes = {}) =>
  h("button", { type: "button", class: "rx-button", onclick, ...attributes }, text);

/**
 * Play, pause and single steps. onstep(by) moves by +1 or -1 and returns whether there is more in that direction.
 * Under prefers-reduced-motion there is no play button: steps only. Returns { node, stop() }; call stop() on clean-up.
 */
export function player({ onstep, delay = 500, what = "step" }) {
  let timer = 0;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const play = button("Play", () => (timer ? stop() : start()), { "aria-pressed": "false" });
  function stop() {
    clearInterval(timer);
    timer = 0;
    say(play, "Play");
    play.setAttribute("aria-pressed", "false");
  }
  function start() {
    timer = setInterval(() => {
      if (!play.isConnected || !onstep(1)) stop();
    }, delay);
    say(play, "Pause");
    play.setAttribute("aria-pressed", "true");
  }
  const once = (by) => () => {
    stop();
    onstep(by);
  };
  still.onchange = () => (play.hidden = still.matches) && stop(); // the setting can change while it plays
  still.onchange();
  const node = h("div", { class: "rx-player", role: "group", "aria-label": "Playback" },
    button("◂", once(-1), { "aria-label": `Previous ${what}` }), play,
    button("▸", once(1), { "aria-label": `Next ${what}` }));
  return { node, stop };
}

// ---- tables and frames ---------------------------------------------------------------------------------------------

/**
 * A table that scrolls in its own box, which can be focused.
 * columns: [[title, "number" or ""], ...]; rows: arrays of texts or nodes; the first cell of a row is its heading.
 */
export function table({ caption, columns, rows, foot = [] }) {
  const kind = (i) => (columns[i][1] === "number" ? "rx-num" : null);
  const line = (cells) => h("tr", {}, cells.map((cell, i) => i ? h("td", { class: kind(i) }, cell)
    : h("th", { scope: "row" }, cell)));
  return h("div", { class: "rx-scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: "rx-table" }, h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map(([title], i) => h(title ? "th" : "td", { scope: !!title && "col", class: kind(i) }, title)))),
      h("tbody", {}, rows.map(line)), foot.length > 0 && h("tfoot", {}, foot.map(line))));
}

/**
 * The frame of an explorer: a labelled group with the house's style. Its keys are its own: in JupyterLab, an arrow or
 * Enter would otherwise go to the notebook, which moves to another cell.
 */
export const frame = (label, ...children) =>
  h("div", {
    class: "rx", role: "group", "aria-label": label, "data-lm-suppress-shortcuts": "true",
    onkeydown: (event) => event.ctrlKey || event.metaKey || event.stopPropagation(),
  }, children);
