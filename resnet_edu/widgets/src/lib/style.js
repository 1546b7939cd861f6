// The explorers' style: style.css and an explorer's own, each in one <style> for each document, and the colours of nets.
//
// Each explorer is a <div class="rx">; all classes begin with rx-. In the book's pages explorers.css has all of it, and
// what is imported here is empty. Colours of nets are those of resnet_edu/figure.py, which a test compares.

import shared from "./style.css";

export const COLORS = { plain: "#D55E00", resnet: "#0072B2" };
export const OTHER_COLORS = ["#8A6FD1", "#0E8A63", "#B5651D", "#A3568B"];
export const DASHES = { plain: "4 1.6", resnet: "" }; // in line widths, as stroke-dasharray

/**
 * Put the shared style, and an explorer's own (`name`, `extra`), where `el` is: each once for a document or shadow root.
 * Call it at the start of render().
 */
export function addStyle(el, name = "", extra = "") {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document.head;
  for (const [key, text] of [["shared", shared], [name, extra]]) {
    if (!text || place.querySelector(`style[data-rx="${key}"]`)) continue;
    const style = document.createElement("style");
    style.dataset.rx = key;
    style.textContent = text;
    place.append(style);
  }
}
