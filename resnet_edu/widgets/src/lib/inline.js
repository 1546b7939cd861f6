// A line of text with `code`, **bold** and *emphasis* into nodes, never through innerHTML.
import { h } from "./ui.js";

const MARKS = [
  [/^`(.+)`$/, "code"],
  [/^\*\*(.+)\*\*$/, "strong"],
  [/^\*(.+)\*$/, "em"],
];

export function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*)/).map((part) => {
    const found = MARKS.find(([pattern]) => pattern.test(part));
    return found ? h(found[1], {}, part.match(found[0])[1]) : part;
  });
}
