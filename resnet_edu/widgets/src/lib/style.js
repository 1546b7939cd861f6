// The explorers' style: style.css and an explorer's own, each in one <style> for each document.
//
// Each explorer is a <div class="rx">; all classes begin with rx-. In the book's pages explorers.css has all of it, and
// what is imported here is empty.

import shared from "./style.css";

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
