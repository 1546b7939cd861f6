/* resnet_edu explorers, MIT licence; made by `make widgets` from sources adad08247afd16a42c9a99dd8d6212aa2dfde31bccf8aaaa4477d840b7f43be9 */
var D=0,E=(e="x")=>`rx-${e}-${++D}-${Math.random().toString(36).slice(2,7)}`;function R(e,r,t){for(let[a,s]of Object.entries(r??{}))s==null||s===!1||(a.startsWith("on")?e.addEventListener(a.slice(2),s):a==="value"||a==="checked"||a==="disabled"||a==="hidden"?e[a]=s:e.setAttribute(a,s===!0?"":s));return e.append(...t.flat(9).filter(a=>a!=null&&a!==!1)),e}var i=(e,r,...t)=>R(document.createElement(e),r,t);function g(e,r){return e.textContent!==r&&(e.textContent=r),e}var b=(e,r,t={})=>i("button",{type:"button",class:"rx-button",onclick:r,...t},e);var F=(e,...r)=>i("div",{class:"rx",role:"group","aria-label":e,"data-lm-suppress-shortcuts":"true",onkeydown:t=>t.ctrlKey||t.metaKey||t.stopPropagation()},r);var K=[[/^`(.+)`$/,"code"],[/^\*\*(.+)\*\*$/,"strong"],[/^\*(.+)\*$/,"em"]];function k(e){return e.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*)/).map(r=>{let t=K.find(([a])=>a.test(r));return t?i(t[1],{},r.match(t[0])[1]):r})}function M(e){return{read(){try{let r=JSON.parse(localStorage.getItem(e));return r&&typeof r=="object"?r:null}catch{return null}},write(r){try{r===null?localStorage.removeItem(e):localStorage.setItem(e,JSON.stringify(r))}catch{}}}}var P=`/* The explorers' style. Colours are variables, in light and in dark: they follow the book, JupyterLab, VS Code, or the
   system. The last of these has the weakest selectors, so that it counts only where nothing else decides. */
.rx,
:is(html[data-theme=light], body[data-jp-theme-light=true], .vscode-light) .rx {
  color-scheme: light; --rx-paper: #fff; --rx-ink: #1c2127; --rx-muted: #56606b; --rx-line: #d3d8de;
  --rx-strong-line: #7b8794; --rx-soft: #f4f6f8; --rx-accent: #1f6aa5; --rx-accent-soft: #e3eff9;
  --rx-add: #b4491a; --rx-add-soft: #fdf1ea; --rx-good: #2f6f44; --rx-good-soft: #e8f4ec; --rx-bad: #b3261e;
  --rx-bad-soft: #fdecea; --rx-on-accent: #fff; --rx-slab: #cfe0ef; --rx-slab-top: #e4eef7;
  --rx-slab-side: #aecbe3;
}
@media (prefers-color-scheme: dark) {
.rx {
  color-scheme: dark; --rx-paper: #14181e; --rx-ink: #e2e7ec; --rx-muted: #a5b0bb; --rx-line: #3a434d;
  --rx-strong-line: #7d8994; --rx-soft: #1e242b; --rx-accent: #79b8ec; --rx-accent-soft: #1d3347;
  --rx-add: #f2a27a; --rx-add-soft: #35261f; --rx-good: #86cfa0; --rx-good-soft: #1d3226; --rx-bad: #ff9d94;
  --rx-bad-soft: #3d1f1d; --rx-on-accent: #10151a; --rx-slab: #34516b; --rx-slab-top: #45688a;
  --rx-slab-side: #263d52;
}
}
:is(html[data-theme=dark], body[data-jp-theme-light=false], .vscode-dark, html[theme=dark]) .rx {
  color-scheme: dark; --rx-paper: #14181e; --rx-ink: #e2e7ec; --rx-muted: #a5b0bb; --rx-line: #3a434d;
  --rx-strong-line: #7d8994; --rx-soft: #1e242b; --rx-accent: #79b8ec; --rx-accent-soft: #1d3347;
  --rx-add: #f2a27a; --rx-add-soft: #35261f; --rx-good: #86cfa0; --rx-good-soft: #1d3226; --rx-bad: #ff9d94;
  --rx-bad-soft: #3d1f1d; --rx-on-accent: #10151a; --rx-slab: #34516b; --rx-slab-top: #45688a;
  --rx-slab-side: #263d52;
}
.rx,:is(html[data-theme=light],body[data-jp-theme-light=true],.vscode-light) .rx{--rx-plain:#d55e00;--rx-residual:#0072b2;--rx-other:#6b7580;--rx-wrong:#c62a2a}
@media (prefers-color-scheme:dark){.rx{--rx-plain:#f5924a;--rx-residual:#5cb0ee;--rx-other:#a5b0bb;--rx-wrong:#ff7b72}}
:is(html[data-theme=dark],body[data-jp-theme-light=false],.vscode-dark,html[theme=dark]) .rx{--rx-plain:#f5924a;--rx-residual:#5cb0ee;--rx-other:#a5b0bb;--rx-wrong:#ff7b72}
:where(.rx [stroke="#D55E00" i]){stroke:var(--rx-plain)}
:where(.rx [fill="#D55E00" i]){fill:var(--rx-plain)}
:where(.rx [stroke="#0072B2" i]){stroke:var(--rx-residual)}
:where(.rx [fill="#0072B2" i]){fill:var(--rx-residual)}
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
.rx-note{overflow-wrap:anywhere;color:var(--rx-bad);font-size:.8rem;line-height:1.3}
.rx-note:not(:empty){margin-top:.15rem}
.rx-radios{display:flex;flex-wrap:wrap;gap:.2rem .9rem;min-height:2rem;align-items:center}
.rx-radio,.rx-check{display:inline-flex;align-items:center;gap:.35rem;min-height:24px}
.rx .rx-check>label{margin:0;font-weight:400;font-size:.9rem}
.rx-radio input,.rx-check input{width:1rem;height:1rem;margin:0;accent-color:var(--rx-accent)}
.rx-radio label{margin:0}
.rx-radio input:disabled+label{color:var(--rx-muted);text-decoration:line-through}
.rx .rx-button{min-height:2rem;margin:0;padding:.1rem .75rem;border:1px solid var(--rx-strong-line);border-radius:.3rem;
background:var(--rx-soft);color:var(--rx-ink);font:inherit;font-size:.88rem;font-weight:550;cursor:pointer}
.rx .rx-button:hover{border-color:var(--rx-accent)}
.rx .rx-button:is(:disabled,[aria-disabled]){color:var(--rx-muted);cursor:default}
.rx .rx-button[aria-pressed=true]{background:var(--rx-accent);border-color:var(--rx-accent);color:var(--rx-on-accent)}
.rx .rx-quiet{padding:.1rem .3rem;border-color:transparent;background:none;color:var(--rx-accent);text-decoration:underline}
.rx-row{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem .9rem;margin:.5rem 0}
.rx .rx-hint{color:var(--rx-muted);font-size:.82rem}
.rx-player{display:inline-flex;gap:.35rem}
.rx :focus-visible{outline:3px solid var(--rx-accent)!important;outline-offset:2px}
.rx-scroll{max-width:100%;overflow:auto;border:1px solid var(--rx-line);border-radius:.35rem;overscroll-behavior-x:contain}
/* Of boxes that scroll sideways: the right edge fades as long as there is more. */
@keyframes rx-more{0%,98%{mask-image:linear-gradient(90deg,#000 calc(100% - 1.2rem),#0004)}
to{mask-image:none}}
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
@media print{.rx-controls,.rx-player{display:none}}
`;function B(e,r="",t=""){let a=e.getRootNode(),s=a instanceof ShadowRoot?a:document.head;for(let[c,f]of[["shared",P],[r,t]]){if(!f||s.querySelector(`style[data-rx="${c}"]`))continue;let m=document.createElement("style");m.dataset.rx=c,m.textContent=f,s.append(m)}}var J=`.rx .rx-quiz>legend{margin-bottom:.5rem;font-size:1rem;line-height:1.4}
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
.rx-wrong .rx-verdict{color:var(--rx-bad)}
`;var u=e=>String.fromCharCode(65+e);function Y(e,r,t){return r?e<0?`The answer is ${u(t)}.`:e===t?`${u(t)} is right.`:`You chose ${u(e)}; the answer is ${u(t)}.`:e<0?"":`You have committed to ${u(e)}. Read on, or see the answer now.`}function U({model:e,el:r}){B(r,"quiz",J);let t=e.get("options"),a=[...document.querySelectorAll("[data-rx-quiz]")].map(o=>o.dataset.rxQuiz),s=`resnet-edu quiz ${location.pathname} ${e.get("key")}`,c=e.get("_place")??s;for(let o=2;!e.get("_place")&&a.includes(c);o++)c=`${s} #${o}`;e.set("_place",r.dataset.rxQuiz=c);let f=M(c),m=E(),y=t.findIndex(o=>o.right),d=t.map((o,n)=>i("input",{type:"radio",name:m,value:n,onchange:()=>g(p,"")})),A=t.map(()=>i("span",{class:"rx-verdict"})),N=t.map(o=>i("p",{hidden:!0},k(o.why))),q=t.map((o,n)=>i("div",{},i("label",{},d[n],i("span",{class:"rx-letter"},u(n)),i("span",{},k(o.text),A[n])),N[n])),p=i("p",{class:"rx-message",role:"status",tabindex:"-1"}),j=b("Commit",()=>{let o=d.findIndex(n=>n.checked);if(o<0){g(p,"Choose one of the answers first.");return}S({chosen:o}),$.focus()}),C=()=>{S({shown:!0}),p.focus()},$=b("Show the answer",C),I=b("Show me now",C,{class:"rx-button rx-quiet"}),O=b("Start over",()=>{S({chosen:-1,shown:!1}),d.forEach(o=>o.checked=!1),d[0].focus()},{class:"rx-button rx-quiet"});function S(o){for(let[x,z]of Object.entries(o))e.set(x,z);e.save_changes();let n={chosen:e.get("chosen"),shown:e.get("shown")};f.write(n.chosen<0&&!n.shown?null:n)}function h(){let[o,n]=[e.get("chosen"),e.get("shown")],x=o<0&&!n;q.forEach((z,l)=>{d[l].disabled=!x,o>=0&&(d[l].checked=l===o);let T=n&&(l===y?"rx-right":"rx-wrong");z.className=["rx-option",l===o&&"rx-chosen",T].filter(Boolean).join(" ");let w=l===o&&"your answer",_=n&&l===y?["✓ right",w]:[n&&w?`✗ ${w}`:w];g(A[l],_.filter(Boolean).join(", ")),N[l].hidden=!n}),j.hidden=I.hidden=!x,$.hidden=x||n,O.hidden=x,g(p,Y(o,n,y))}let v=f.read();return v&&e.get("chosen")<0&&!e.get("shown")&&V(v,t.length)&&(e.set("chosen",v.chosen),e.set("shown",v.shown),e.save_changes()),r.append(F("Question",i("fieldset",{class:"rx-field rx-quiz"},i("legend",{},k(e.get("question"))),q),i("div",{class:"rx-row"},j,$,I,O,p))),h(),e.on("change:chosen",h),e.on("change:shown",h),()=>{e.off("change:chosen",h),e.off("change:shown",h)}}function V(e,r){return Number.isInteger(e.chosen)&&e.chosen>=-1&&e.chosen<r&&typeof e.shown=="boolean"}var le={render:U};export{le as default};
