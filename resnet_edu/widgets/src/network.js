// The network explorer.
import { frame, h } from "./lib/ui.js";
import { addStyle } from "./lib/style.js";

function render({ model, el }) {
  addStyle(el);
  const text = h("p", {});
  const show = () => {
    text.textContent = `depth ${model.get("depth")}`;
  };
  el.append(frame("Network explorer", text));
  model.on("change:depth", show);
  show();
  return () => model.off("change:depth", show);
}

export { runNet } from "./lib/engine.js"; // for the test that compares it with the tracer
export default { render };
