// A question with a commitment: choose, commit, read on, and then see the answer and why each wrong one tempts.
//
// Traits: question, options ([{text, right, why}]), key, chosen (-1: nothing yet), shown (the answer).
// The commitment is kept in the browser, under the page's path and `key` (and a number where the page has the same quiz
// more than once); where that is forbidden, on the page alone.
import { inline } from "./lib/inline.js";
import { memory } from "./lib/memory.js";
import { addStyle } from "./lib/style.js";
import { button, frame, h, say, uid } from "./lib/ui.js";
import STYLE from "./quiz.css";

const letter = (i) => String.fromCharCode(65 + i);

/** One sentence on where the reader stands. */
function verdict(chosen, shown, right) {
  if (!shown) return chosen < 0 ? "" : `You have committed to ${letter(chosen)}. Read on, or see the answer now.`;
  if (chosen < 0) return `The answer is ${letter(right)}.`;
  return chosen === right ? `${letter(right)} is right.` : `You chose ${letter(chosen)}; the answer is ${letter(right)}.`;
}

function render({ model, el }) {
  addStyle(el, "quiz", STYLE);
  const options = model.get("options");
  const taken = [...document.querySelectorAll("[data-rx-quiz]")].map((other) => other.dataset.rxQuiz);
  const first = `resnet-edu quiz ${location.pathname} ${model.get("key")}`;
  let place = model.get("_place") ?? first; // two views of one quiz share it
  for (let n = 2; !model.get("_place") && taken.includes(place); n++) place = `${first} #${n}`;
  model.set("_place", (el.dataset.rxQuiz = place));
  const store = memory(place);
  const name = uid();
  const right = options.findIndex((o) => o.right);

  const radios = options.map((_, i) => h("input", { type: "radio", name, value: i, onchange: () => say(message, "") }));
  const verdicts = options.map(() => h("span", { class: "rx-verdict" }));
  const reasons = options.map((o) => h("p", { hidden: true }, inline(o.why)));
  const items = options.map((o, i) => h("div", {},
    h("label", {}, radios[i], h("span", { class: "rx-letter" }, letter(i)), h("span", {}, inline(o.text), verdicts[i])),
    reasons[i]));
  const message = h("p", { class: "rx-message", role: "status", tabindex: "-1" });
  const commit = button("Commit", () => {
    const chosen = radios.findIndex((radio) => radio.checked);
    if (chosen < 0) {
      say(message, "Choose one of the answers first.");
      return;
    }
    update({ chosen });
    reveal.focus();
  });
  const showAnswer = () => {
    update({ shown: true });
    message.focus();
  };
  const reveal = button("Show the answer", showAnswer);
  const skip = button("Show me now", showAnswer, { class: "rx-button rx-quiet" });
  const reset = button("Start over", () => {
    update({ chosen: -1, shown: false });
    radios.forEach((radio) => (radio.checked = false));
    radios[0].focus();
  }, { class: "rx-button rx-quiet" });

  function update(change) {
    for (const [key, value] of Object.entries(change)) model.set(key, value);
    model.save_changes();
    const now = { chosen: model.get("chosen"), shown: model.get("shown") };
    store.write(now.chosen < 0 && !now.shown ? null : now);
  }

  function draw() {
    const [chosen, shown] = [model.get("chosen"), model.get("shown")];
    const open = chosen < 0 && !shown;
    items.forEach((item, i) => {
      radios[i].disabled = !open;
      if (chosen >= 0) radios[i].checked = i === chosen;
      const judged = shown && (i === right ? "rx-right" : "rx-wrong");
      item.className = ["rx-option", i === chosen && "rx-chosen", judged].filter(Boolean).join(" ");
      const mine = i === chosen && "your answer";
      const marked = shown && i === right ? ["✓ right", mine] : [shown && mine ? `✗ ${mine}` : mine];
      say(verdicts[i], marked.filter(Boolean).join(", "));
      reasons[i].hidden = !shown;
    });
    commit.hidden = skip.hidden = !open;
    reveal.hidden = open || shown;
    reset.hidden = open;
    say(message, verdict(chosen, shown, right));
  }

  const kept = store.read();
  if (kept && model.get("chosen") < 0 && !model.get("shown") && valid(kept, options.length)) {
    model.set("chosen", kept.chosen);
    model.set("shown", kept.shown);
    model.save_changes();
  }

  el.append(frame("Question",
    h("fieldset", { class: "rx-field rx-quiz" }, h("legend", {}, inline(model.get("question"))), items),
    h("div", { class: "rx-row" }, commit, reveal, skip, reset, message)));
  draw();
  model.on("change:chosen", draw);
  model.on("change:shown", draw);
  return () => {
    model.off("change:chosen", draw);
    model.off("change:shown", draw);
  };
}

/** Whether what the browser has kept fits this question: anybody may have written there. */
function valid(kept, count) {
  return Number.isInteger(kept.chosen) && kept.chosen >= -1 && kept.chosen < count && typeof kept.shown === "boolean";
}

export default { render };
