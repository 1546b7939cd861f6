// The explorers' style: one <style> for each document, colours that follow the book, JupyterLab, VS Code or the system.
//
// Each explorer is a <div class="rx">; all classes begin with rx-. Colours are variables, in light and in dark; those of
// nets are the ones of resnet_edu/figure.py, which a test compares.

export const COLORS = { plain: "#D55E00", resnet: "#0072B2" };
export const OTHER_COLORS = ["#8A6FD1", "#0E8A63", "#B5651D", "#A3568B"];
export const DASHES = { plain: "4 1.6", resnet: "" }; // in line widths, as stroke-dasharray

const LIGHT = `color-scheme:light;--rx-paper:#fff;--rx-ink:#1c2127;--rx-muted:#56606b;--rx-line:#d3d8de;
--rx-strong-line:#7b8794;--rx-soft:#f4f6f8;--rx-accent:#1f6aa5;--rx-accent-soft:#e3eff9;--rx-add:#b4491a;
--rx-add-soft:#fdf1ea;--rx-good:#2f6f44;--rx-good-soft:#e8f4ec;--rx-bad:#b3261e;--rx-bad-soft:#fdecea;
--rx-on-accent:#fff;--rx-slab:#cfe0ef;--rx-slab-top:#e4eef7;--rx-slab-side:#aecbe3`;
const DARK = `color-scheme:dark;--rx-paper:#14181e;--rx-ink:#e2e7ec;--rx-muted:#a5b0bb;--rx-line:#3a434d;
--rx-strong-line:#7d8994;--rx-soft:#1e242b;--rx-accent:#79b8ec;--rx-accent-soft:#1d3347;--rx-add:#f2a27a;
--rx-add-soft:#35261f;--rx-good:#86cfa0;--rx-good-soft:#1d3226;--rx-bad:#ff9d94;--rx-bad-soft:#3d1f1d;
--rx-on-accent:#10151a;--rx-slab:#34516b;--rx-slab-top:#45688a;--rx-slab-side:#263d52`;

const SHARED = `
.rx{container-type:inline-size;box-sizing:border-box;max-width:100%;margin:.75rem 0 1.25rem;padding:.9rem 1rem 1rem;
border:1px solid var(--rx-line);border-radius:.5rem;background:var(--rx-paper);color:var(--rx-ink);
font-size:.92rem;line-height:1.45;font-variant-numeric:tabular-nums;text-align:left}
.rx *{box-sizing:border-box}
.rx [hidden]{display:none!important}
.rx p{margin:.4rem 0;max-width:44rem}
.rx-title{margin:0 0 .5rem;font-weight:650}
.rx-spoken{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.rx-controls{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,13rem),1fr));gap:.6rem 1.1rem;
align-items:start;margin-bottom:.8rem}
.rx-field{min-width:0;margin:0;padding:0;border:0}
.rx-field>label,.rx-field>legend{display:block;float:none;width:auto;margin:0 0 .15rem;padding:0;font-size:.84rem;
font-weight:600;line-height:1.3;color:var(--rx-ink)}
.rx-unit{font-weight:400;color:var(--rx-muted)}
.rx-pair{display:flex;align-items:center;gap:.5rem}
.rx :is(.rx-number,.rx-select){height:2rem;margin:0;padding:0 .45rem;border:1px solid var(--rx-strong-line);
border-radius:.3rem;background:var(--rx-paper);color:var(--rx-ink);font:inherit;font-size:.9rem}
.rx .rx-number{width:4.6rem;flex:none;text-align:right}
.rx .rx-number[aria-invalid=true]{border-color:var(--rx-bad)}
.rx .rx-select{width:100%}
.rx-range{flex:1;min-width:0;height:1.5rem;margin:0;accent-color:var(--rx-accent)}
.rx-note{color:var(--rx-bad);font-size:.8rem;line-height:1.3}
.rx-note:not(:empty){margin-top:.15rem}
.rx-radios{display:flex;flex-wrap:wrap;gap:.2rem .9rem;min-height:2rem;align-items:center}
.rx-radio,.rx-check{display:inline-flex;align-items:center;gap:.35rem}
.rx .rx-check>label{margin:0;font-weight:400;font-size:.9rem}
.rx-radio input,.rx-check input{width:1rem;height:1rem;margin:0;accent-color:var(--rx-accent)}
.rx-radio label{margin:0}
.rx-radio input:disabled+label{color:var(--rx-muted);text-decoration:line-through}
.rx .rx-button{min-height:2rem;margin:0;padding:.1rem .75rem;border:1px solid var(--rx-strong-line);border-radius:.3rem;
background:var(--rx-soft);color:var(--rx-ink);font:inherit;font-size:.88rem;font-weight:550;cursor:pointer}
.rx .rx-button:hover{border-color:var(--rx-accent)}
.rx .rx-button:disabled{color:var(--rx-muted);cursor:default}
.rx .rx-button[aria-pressed=true]{background:var(--rx-accent);border-color:var(--rx-accent);color:var(--rx-on-accent)}
.rx .rx-quiet{padding:.1rem .3rem;border-color:transparent;background:none;color:var(--rx-accent);text-decoration:underline}
.rx-row{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem .9rem;margin:.5rem 0}
.rx .rx-hint{color:var(--rx-muted);font-size:.82rem}
.rx-player{display:inline-flex;gap:.35rem}
.rx :focus-visible{outline:3px solid var(--rx-accent)!important;outline-offset:2px}
.rx-scroll{max-width:100%;overflow:auto;border:1px solid var(--rx-line);border-radius:.35rem;overscroll-behavior-x:contain}
.rx .rx-table{display:table;width:100%;margin:0;border:0;border-collapse:separate;border-spacing:0;
background:none;color:var(--rx-ink);font-size:.82rem;line-height:1.35}
.rx .rx-table caption{caption-side:top;padding:.4rem .6rem;color:var(--rx-muted);font-size:1em;text-align:left}
.rx .rx-table :is(th,td){padding:.28rem .5rem;border:0;border-bottom:1px solid var(--rx-line);
background:var(--rx-paper);color:inherit;font-weight:400;text-align:left;vertical-align:top;white-space:nowrap}
.rx .rx-table thead th{position:sticky;top:0;z-index:1;background:var(--rx-soft);font-weight:600}
.rx .rx-table tfoot :is(th,td){border-top:2px solid var(--rx-line);font-weight:600}
.rx .rx-table .rx-num{text-align:right}
.rx svg{display:block;max-width:100%}
.rx svg text{fill:var(--rx-ink);font-family:inherit}
.rx-error{padding:.5rem .7rem;border-left:4px solid var(--rx-bad);border-radius:0 .3rem .3rem 0;
background:var(--rx-bad-soft);color:var(--rx-ink)}
.rx-error strong{color:var(--rx-bad)}
.rx-up{color:var(--rx-add)}.rx-down{color:var(--rx-good)}
@media (prefers-reduced-motion:reduce){.rx *{transition:none!important;animation:none!important}}
@media print{.rx-controls,.rx-player{display:none}}`;

const css = `.rx{${LIGHT}}
@media (prefers-color-scheme:dark){.rx{${DARK}}}
:is(html[data-theme=light],body[data-jp-theme-light=true],.vscode-light) .rx{${LIGHT}}
:is(html[data-theme=dark],body[data-jp-theme-light=false],.vscode-dark,html[theme=dark]) .rx{${DARK}}
${SHARED}`.replace(/\n/g, "");

/**
 * Put the shared style, and an explorer's own (`name`, `extra`), where `el` is: each once for a document or shadow root.
 * Call it at the start of render().
 */
export function addStyle(el, name = "", extra = "") {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document.head;
  for (const [key, text] of [["shared", css], [name, extra]]) {
    if (!text || place.querySelector(`style[data-rx="${key}"]`)) continue;
    const style = document.createElement("style");
    style.dataset.rx = key;
    style.textContent = text;
    place.append(style);
  }
}
