// What tests/book/test_site.py asks of a page, evaluated inside it. Each check returns a list of what is wrong.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (e) => e.checkVisibility();
  const brief = (text) => text.replace(/\s+/g, " ").trim().slice(0, 60);

  // Colours are [red, green, blue, alpha]. Luminance and contrast as WCAG 2 defines them.
  const parse = (text) => {
    const numbers = (text.match(/[\d.]+/g) ?? []).map(Number);
    return text.startsWith("rgb") ? [...numbers.slice(0, 3), numbers[3] ?? 1] : [0, 0, 0, 0];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const luminance = (colour) =>
    colour
      .slice(0, 3)
      .map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };

  // The colour behind an element: its own background over that of its ancestors.
  const ground = (e) => (e ? over(parse(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : [255, 255, 255]);
  // Behind a word of a drawing: every shape drawn before it that holds the word's centre.
  const groundInDrawing = (word) => {
    const box = word.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const drawing = word.closest("svg");
    return [...drawing.querySelectorAll("rect, circle, ellipse, path, polygon")]
      .filter((e) => e.compareDocumentPosition(word) & Node.DOCUMENT_POSITION_FOLLOWING && !e.closest("defs"))
      .filter((e) => ((r) => r.left <= x && x <= r.right && r.top <= y && y <= r.bottom)(e.getBoundingClientRect()))
      .reduce((below, e) => {
        const style = getComputedStyle(e);
        const [r, g, b, alpha] = parse(style.fill);
        return over([r, g, b, alpha * style.fillOpacity * style.opacity], below);
      }, ground(drawing));
  };
  const faint = (elements, inkOf, groundOf, least) =>
    elements
      .filter((e) => shown(e) && e.textContent.trim())
      .map((e) => [contrast(over(parse(inkOf(getComputedStyle(e))), groundOf(e)), groundOf(e)), e])
      .filter(([ratio]) => ratio < least)
      .map(([ratio, e]) => `${ratio.toFixed(2)} to 1: ${brief(e.textContent)}`);

  window.siteChecks = {
    page: () => ({
      paper: luminance(ground(document.body)),
      ink: luminance(parse(getComputedStyle(document.body).color)),
    }),

    // The theme keeps a second h1 that is shown on paper only.
    titles: () => all("h1").filter(shown).map((e) => brief(e.textContent)),

    rawMathematics: () =>
      all("article .math")
        .filter((e) => !e.querySelector(".katex-html") || e.querySelector(".katex-error"))
        .map((e) => brief(e.textContent)),

    silentPictures: () => {
      const spoken = (e) =>
        e.getAttribute("alt") ??
        e.getAttribute("aria-label") ??
        document.getElementById(e.getAttribute("aria-labelledby"))?.textContent ??
        e.querySelector(":scope > title")?.textContent ??
        "";
      return all("article :is(img, svg, canvas)")
        .filter((e) => !e.closest("[aria-hidden=true], summary, button, .katex") && !e.parentElement.closest("svg"))
        // A notebook's figure without an alt text gets the name of its file for one.
        .filter((e) => !spoken(e).trim() || /\.(png|svg|jpe?g)$/.test(spoken(e)))
        .map((e) => e.outerHTML.slice(0, 160));
    },

    // A cell that is meant to fail carries the tag `raises-exception`.
    tracebacks: () =>
      all(".cell:not(.tag_raises-exception) .cell_output")
        .filter((e) => e.textContent.includes("Traceback (most recent call last)"))
        .map((e) => e.textContent.slice(-200)),

    // 4.5 to 1 is WCAG's level AA for text of ordinary size.
    faintText: () => [
      ...faint(all("article :is(td, th, caption, figcaption, .admonition-title)"), (s) => s.color, ground, 4.5),
      ...faint(all(".resnet-figure svg text"), (s) => s.fill, groundInDrawing, 4.5),
    ],

    // Marks up to three elements for each way in which text is coloured: those that share it have the same contrast.
    markLooks: () => {
      const grounds = new Map();
      const groundsOf = (e) => {
        if (!e) return "";
        if (!grounds.has(e)) {
          const style = getComputedStyle(e);
          const clear = parse(style.backgroundColor)[3] === 0 && style.backgroundImage === "none" && style.opacity === "1";
          const own = clear ? "" : `|${style.backgroundColor} ${style.backgroundImage} ${style.opacity}`;
          grounds.set(e, groundsOf(e.parentElement) + own);
        }
        return grounds.get(e);
      };
      const counts = new Map();
      for (const e of all("article *")) {
        const written = [...e.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!shown(e) || !(written || e.matches("input, select, textarea"))) continue;
        const { color, fill, fontSize, fontWeight, textShadow } = getComputedStyle(e);
        const apart = ["svg", ":disabled, [aria-disabled=true]", "[aria-hidden=true]"].map((selector) => !!e.closest(selector));
        const look = [color, fill, fontSize, fontWeight, textShadow, ...apart, groundsOf(e)].join();
        counts.set(look, (counts.get(look) ?? 0) + 1);
        e.toggleAttribute("data-look", counts.get(look) <= 3);
      }
      return [...counts.keys()];
    },

    // What sticks out to the right, if the page itself can be scrolled sideways.
    sideways: () => {
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth <= clientWidth) return [];
      const clipped = (e) => e && (getComputedStyle(e).overflowX !== "visible" || clipped(e.parentElement.closest("article *")));
      const wide = all("article *")
        .filter((e) => shown(e) && e.getBoundingClientRect().right > clientWidth)
        .filter((e) => !clipped(e.parentElement.closest("article *")));
      return [`${scrollWidth} > ${clientWidth}`, ...wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))];
    },

    // Letters of a drawing that its edge cuts off.
    cutLetters: () =>
      all("article svg text").filter((e) => {
        const frame = e.closest("svg");
        if (!shown(e) || getComputedStyle(frame).overflow === "visible") return false;
        const [inner, outer] = [e.getBoundingClientRect(), frame.getBoundingClientRect()];
        return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
      }).map((e) => brief(e.textContent)),

    // Names such as plain-56 that are broken over two lines.
    brokenNames: () => {
      const found = [];
      const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const text = walker.currentNode;
        if (text.parentElement.closest("code, pre, svg, .rx")) continue;
        for (const match of text.data.matchAll(/[A-Za-z]+-\d+/g)) {
          const range = document.createRange();
          range.setStart(text, match.index);
          range.setEnd(text, match.index + match[0].length);
          const tops = [...range.getClientRects()].map((box) => Math.round(box.top));
          if (new Set(tops).size > 1) found.push(brief(text.data.slice(Math.max(0, match.index - 20))));
        }
      }
      return found;
    },

    // Folds: <details> of sphinx-design and of hidden cells, and admonitions folded by sphinx-togglebutton.
    stuckFolds: () => {
      const stuck = [];
      for (const fold of all("article details")) {
        const before = fold.open;
        fold.querySelector(":scope > summary").click();
        if (fold.open === before) stuck.push(brief(fold.textContent));
        else fold.open = true;
      }
      for (const button of all("article button.toggle-button")) {
        const fold = button.closest(".toggle");
        const before = fold.classList.contains("toggle-hidden");
        button.click();
        if (fold.classList.contains("toggle-hidden") === before) stuck.push(brief(fold.textContent));
      }
      return stuck;
    },
  };
})();
