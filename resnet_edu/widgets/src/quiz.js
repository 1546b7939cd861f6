// A question with a commitment: choose, commit, read on, and then see the answer and why each wrong one tempts.
//
// Traits: question, options ([{text, right, why}]), key, chosen (-1: nothing yet), shown (the answer).
// The commitment is kept in the browser, under the page's path and `key`; where that is forbidden, on the page alone.
import { inline } from "./lib/inline.js";
import { memory } from "./lib/memory.js";
import { addStyle } from "./lib/style.js";
import { button, frame, h, say, uid } from "./lib/ui.js";

const letter = (i) => String.fromCharCode(65 + i);

const STYLE = `
.rx .rx-quiz>legend{margin-bottom:.5rem;font-size:1rem;line-height:1.4}
.rx-option{margin:.3rem 0;border:1px solid var(--rx-line);border-radius:.35rem}
.rx .rx-option label{display:grid;grid-template-columns:auto auto 1fr;gap:.55rem;align-items:start;margin:0;padding:.45rem .7rem;cursor:pointer}
.rx-option input{width:1rem;height:1rem;margin:.2rem 0 0;accent-color:var(--rx-accent)}
.rx-option:has(input:checked){border-color:var(--rx-accent);background:var(--rx-accent-soft)}
.rx-option:has(input:disabled) label{cursor:default}
.rx-letter{width:1rem;font-weight:650}
.rx-verdict:not(:empty){margin-left:.6rem;font-weight:650;white-space:nowrap}
.rx .rx-option>p{margin:0;padding:0 .7rem .6rem 3.8rem;max-width:none}
.rx-option.rx-right{border-color:var(--rx-good);background:var(--rx-good-soft)}
.rx-right .rx-verdict{color:var(--rx-good)}
.rx-option.rx-wrong.rx-chosen{border-color:var(--rx-bad);background:var(--rx-bad-soft)}
.rx-wrong .rx-verdict{color:var(--rx-bad)}`;

/** One sentence on where the reader stands. */
function verdict(chosen, shown, right) {
  if (!shown) return chosen < 0 ? "" : `You have committed to ${letter(chosen)}. Read on, or see the answer now.`;
  if (chosen < 0) return `The answer is ${letter(right)}.`;
  return chosen === right ? `${letter(right)} is right.` : `You chose ${letter(chosen)}; the answer is ${letter(right)}.`;
}

function render({ model, el }) {
  addStyle(el, "quiz", STYLE);
  const options = model.get("options");
  const store = memory(`resnet-edu quiz ${location.pathname} ${model.get("key")}`);
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
