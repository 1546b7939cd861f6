// Mounts the explorers in a built page of the book, where there is no kernel and no widget manager.
//
// myst-nb writes the state of all widgets into the page as JSON, and each explorer's output holds a reference to its
// model and a static table. What an explorer needs of a widget manager is the small model below; it is the same code
// that JupyterLab loads through anywidget. A page loads the scripts of those explorers only that it has, and each
// explorer starts when it is nearly in view, when the first key is pressed (Tab and the browser's search reach it), or
// when the page's address is a link to one.

const STATE = "application/vnd.jupyter.widget-state+json";
const VIEW = "application/vnd.jupyter.widget-view+json";

/** A model with anywidget's interface (get, set, save_changes, on, off), without a kernel behind it. */
export function makeModel(state) {
  const values = { ...state };
  const handlers = new Map();
  const emit = (event, ...args) => {
    for (const handler of [...(handlers.get(event) ?? [])]) handler(...args);
  };
  const model = {
    get: (key) => values[key],
    set(key, value) {
      if (JSON.stringify(values[key]) === JSON.stringify(value)) return;
      values[key] = value;
      emit(`change:${key}`, model, value);
      emit("change", model);
    },
    save_changes() {}, // nobody is at the other end
    send() {},
    on: (event, handler) => handlers.set(event, [...(handlers.get(event) ?? []), handler]),
    off: (event, handler) =>
      handlers.set(event, handler ? (handlers.get(event) ?? []).filter((h) => h !== handler) : []),
  };
  return model;
}

function readStates() {
  const states = {};
  for (const script of document.querySelectorAll(`script[type="${STATE}"]`)) {
    try {
      Object.assign(states, JSON.parse(script.textContent).state);
    } catch (error) {
      console.error("explorers: no state", error);
    }
  }
  return states;
}

/** What stands where an explorer failed: one sentence; the static table stays. */
function failed(output, error) {
  console.error("explorers: one could not be shown", error);
  output.querySelector(".rx-mount")?.remove();
  const note = document.createElement("p");
  note.className = "rx-failed";
  note.setAttribute("role", "status");
  note.textContent = `This explorer could not be started (${error?.message ?? error}); the table shows its first setting.`;
  output.prepend(note);
  const table = output.querySelector(".rx-static");
  if (table) table.hidden = false;
}

/** The text of a script that an explorer runs in a Web Worker, its own or another's; loaded when it is first asked for. */
const workerOf = (name, load) => (whose = name) => load(`${whose}.worker`).then(() => `(${globalThis.rxWorkers[whose]})()`);

/** What a script of data beside the explorer's holds: `dissecting.plain20.js` the text that it gives the name plain20. */
const dataOf = (name, load) => (part, whose = name) => load(`${whose}.${part}`).then(() => globalThis.rxData[part]);

/**
 * Load a script beside this one, each once: a promise. Scripts, because from a folder on disk nothing else may be read.
 * versions: name -> what stands in its address, so that a browser takes no older one from its store.
 */
function loader(folder, versions) {
  const loaded = {};
  return (name) =>
    (loaded[name] ??= new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = `${folder}/${name}.js?v=${versions[name.split(".")[0]]}`;
      script.onload = done;
      script.onerror = () => {
        delete loaded[name]; // the next attempt may succeed
        fail(new Error(`${name}.js could not be loaded`));
      };
      document.head.append(script);
    }));
}

async function mount(script, load, versions, charts, states, models) {
  const id = JSON.parse(script.textContent).model_id;
  const state = states[id]?.state;
  const name = state?._explorer;
  if (!(name in versions)) return; // a widget of another kind is not ours
  const output = script.parentElement;
  try {
    await load("lib");
    if (charts.includes(name)) await load("charts");
    await load(name);
    const model = (models[id] ??= makeModel(state)); // a widget that is shown twice has one state, as in Jupyter
    const el = document.createElement("div");
    el.className = "rx-mount";
    output.append(el);
    const shown = globalThis.rxExplorers[name].render({ model, el, worker: workerOf(name, load), data: dataOf(name, load) });
    const table = output.querySelector(".rx-static");
    if (table) table.hidden = true;
    await shown;
  } catch (error) {
    failed(output, error);
  }
}

/** Mount every explorer of the page; `versions` has the names of those there are, `charts` of those that draw curves. */
export function mountAll(versions, charts) {
  const load = loader(document.currentScript.src.replace(/\.js(\?.*)?$/, ""), versions);
  const start = () => {
    const states = readStates();
    const models = {};
    const waiting = new Map([...document.querySelectorAll(`script[type="${VIEW}"]`)].map((s) => [s.parentElement, s]));
    const begin = (output) => {
      near.unobserve(output);
      const script = waiting.get(output);
      if (!waiting.delete(output)) return;
      mount(script, load, versions, charts, states, models).catch(console.error);
    };
    const near = new IntersectionObserver(
      (entries) => entries.forEach((entry) => entry.isIntersecting && begin(entry.target)),
      { rootMargin: "600px" },
    );
    for (const output of waiting.keys()) near.observe(output);
    const beginAll = () => [...waiting.keys()].forEach(begin);
    addEventListener("keydown", beginAll, { once: true });
    if (/^#lab/.test(location.hash)) beginAll(); // a link to a laboratory's choices: it scrolls there by itself
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}
