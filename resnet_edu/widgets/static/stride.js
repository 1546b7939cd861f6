/* resnet_edu explorers, MIT licence; made by `make widgets` from sources 69e89269c1a6927fb69bbe4a9f03942a4386243997bbe60b820175dd77356b08 */
var M=`/* The explorers' style. Colours are variables, in light and in dark: they follow the book, JupyterLab, VS Code, or the
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
`;function T(e,r="",t=""){let o=e.getRootNode(),a=o instanceof ShadowRoot?o:document.head;for(let[l,c]of[["shared",M],[r,t]]){if(!c||a.querySelector(`style[data-rx="${l}"]`))continue;let i=document.createElement("style");i.dataset.rx=l,i.textContent=c,a.append(i)}}var Y="http://www.w3.org/2000/svg",Z=0,F=(e="x")=>`rx-${e}-${++Z}-${Math.random().toString(36).slice(2,7)}`;function P(e,r,t){for(let[o,a]of Object.entries(r??{}))a==null||a===!1||(o.startsWith("on")?e.addEventListener(o.slice(2),a):o==="value"||o==="checked"||o==="disabled"||o==="hidden"?e[o]=a:e.setAttribute(o,a===!0?"":a));return e.append(...t.flat(9).filter(o=>o!=null&&o!==!1)),e}var s=(e,r,...t)=>P(document.createElement(e),r,t),C=(e,r,...t)=>P(document.createElementNS(Y,e),r,t);function H(e,r){for(let[t,o]of Object.entries(r))if(o==null||o===!1)e.hasAttribute(t)&&e.removeAttribute(t);else{let a=o===!0?"":String(o);e.getAttribute(t)!==a&&e.setAttribute(t,a)}return e}function z(e,r){return e.textContent!==r&&(e.textContent=r),e}function j(e){let r=0,t=()=>{r||(r=requestAnimationFrame(()=>{r=0,e()}))};return t.cancel=()=>{r&&cancelAnimationFrame(r),r=0},t}function B(){let e=s("div",{class:"rx-spoken","aria-live":"polite",role:"status"}),r=0;return{node:e,say(t){clearTimeout(r),r=setTimeout(()=>z(e,t),150)},stop:()=>clearTimeout(r)}}function Q(e,{min:r,max:t,step:o=1,fallback:a}){let l=e.trim(),c=/^[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?(e[+-]?\d+)?$/i.test(l)?Number(l.replace(/,/g,"")):NaN;if(!Number.isFinite(c))return{value:a,problem:`A whole number from ${r} to ${t} is needed; ${a} is kept.`};let i=r+Math.round((Math.min(t,Math.max(r,c))-r)/o)*o,u=i>t?i-o:i,d=l.length>16?`${l.slice(0,12)}…`:l;if(c<r)return{value:u,problem:`${d} is too small: the least is ${r}.`};if(c>t)return{value:u,problem:`${d} is too large: the most is ${t}.`};if(c!==u){let p=o===1?"a whole number":`one of ${r}, ${r+o}, ${r+2*o}, ...`;return{value:u,problem:`${d} is not ${p}: ${u} is taken.`}}return{value:u,problem:""}}function D({label:e,min:r,max:t,step:o=1,value:a,onchange:l,slider:c=!0,unit:i=""}){let u=F("n"),d={min:r,max:t,step:o},p=s("div",{class:"rx-note",id:`${u}-note`,"aria-live":"polite"}),h=s("input",{id:u,class:"rx-number",type:"text",inputmode:"numeric",autocomplete:"off","aria-describedby":`${u}-note`,value:String(a),onchange:()=>b(!0),oninput:()=>b(!1),onkeydown(f){let g={ArrowUp:1,ArrowDown:-1,PageUp:10,PageDown:-10}[f.key];g&&(f.preventDefault(),x(Math.min(d.max,Math.max(d.min,n+g*d.step)),!0))}}),m=c?s("input",{class:"rx-range",type:"range",min:r,max:t,step:o,value:String(a),"aria-label":`${e}, slider`,oninput:()=>x(Number(m.value),!1),onchange:()=>x(Number(m.value),!0)}):null,n=a;function x(f,g,w=""){let O=f!==n;n=f,m&&(m.value=String(f)),(g||document.activeElement!==h)&&(h.value=String(f)),h.setAttribute("aria-invalid",w?"true":"false"),z(p,w),(O||g)&&l(f,g)}let b=f=>{let{value:g,problem:w}=Q(h.value,{...d,fallback:n});(f||!w)&&x(g,f,w)};return{node:s("div",{class:"rx-field"},s("label",{for:u},e,i&&s("span",{class:"rx-unit"},` (${i})`)),s("div",{class:"rx-pair"},h,m),p),get value(){return n},set(f,g={}){let w=f!==n;Object.assign(d,g),m&&H(m,{min:d.min,max:d.max,step:d.step}),n=f,m&&(m.value=String(f)),w&&(h.value=String(f),z(p,""),h.setAttribute("aria-invalid","false"))}}}function I({label:e,options:r,value:t,onchange:o}){let a=F("r"),l=s("div",{class:"rx-radios"}),c=[],i=t;function u(d){c=d,l.replaceChildren(...d.map(([p,h,m])=>{let n=F("o"),x=s("input",{type:"radio",name:a,id:n,value:String(p),checked:p===i,disabled:!!m,onchange:()=>{i=p,o(p,!0)}});return s("span",{class:"rx-radio",title:m||null},x,s("label",{for:n},h,m&&s("span",{class:"rx-spoken"},` (${m})`)))}))}return u(r),{node:s("fieldset",{class:"rx-field"},s("legend",{},e),l),get value(){return i},set(d,p){i=d,p&&JSON.stringify(p)!==JSON.stringify(c)&&u(p);for(let h of l.querySelectorAll("input"))h.checked=h.value===String(d)}}}var q=(e,...r)=>s("div",{class:"rx",role:"group","aria-label":e,"data-lm-suppress-shortcuts":"true",onkeydown:t=>t.ctrlKey||t.metaKey||t.stopPropagation()},r);var J=`.rx-st{display:flex;flex-wrap:wrap;gap:.8rem 2rem;align-items:flex-start}
.rx .rx-st figure{margin:0;max-width:100%}
.rx .rx-st figcaption{margin:.2rem 0 0;color:var(--rx-ink);font-size:.84rem}
.rx-st rect{stroke-width:1;stroke:var(--rx-strong-line);fill:var(--rx-soft)}
.rx-st .rx-st-read{fill:var(--rx-slab);stroke:var(--rx-accent)}
.rx-st .rx-st-lit{fill:var(--rx-accent);stroke:var(--rx-accent)}
.rx-st-cross{stroke:var(--rx-strong-line);stroke-width:1.2}
.rx-st figure:last-child g{cursor:pointer}
`;var k=8,A=k/2,S=22,ee=[["1","1: stride on the first 1×1"],["1.5","1.5: stride on the 3×3"],["D","D: mean on the shortcut"]],L=[["block","whole block"],["main","main path"],["shortcut","shortcut"]],y=e=>Array.from({length:e},(r,t)=>t);function R(e,r,t){if(r==="shortcut")return e==="D"?[2*t,2*t+1]:[2*t];let o=e==="1"?2:1;return[2*t-o,2*t,2*t+o]}function U(e,r,t,o){let a=r==="block"?["main","shortcut"]:[r];return y(k).map(l=>y(k).map(c=>a.some(i=>R(e,i,t).includes(l)&&R(e,i,o).includes(c))))}function re(e,r){let t=y(A).flatMap(o=>y(A).map(a=>U(e,r,o,a)));return y(k).map(o=>y(k).map(a=>t.some(l=>l[o][a])))}var E=e=>e.flat().filter(Boolean).length;function V(e,r,t){let o=r.length*S,a=r.flatMap((l,c)=>l.map((i,u)=>C("g",t&&{onclick:()=>t(c,u)},C("rect",{class:`rx-st-${i}`,x:u*S+1,y:c*S+1,width:S-2,height:S-2}),i==="unread"&&C("path",{class:"rx-st-cross",d:`M${u*S+8} ${c*S+8}l6 6m0-6l-6 6`}))));return C("svg",{viewBox:`0 0 ${o} ${o}`,role:"img","aria-label":e,style:`width:${o*1.35}px`},a)}function te({model:e,el:r}){T(r,"stride",J);let t=B(),o=n=>{for(let[x,b]of Object.entries(n))e.set(x,b);e.save_changes()},a=(n,x,b)=>[x,I({label:n,options:b,value:e.get(x),onchange:N=>o({[x]:N})})],l=(n,x)=>[x,D({label:n,min:1,max:A,value:e.get(x),onchange:b=>o({[x]:b})})],c=[a("Version","version",ee),a("What reads","part",L),l("Row of the output","row"),l("Column of the output","column")],[i,u,d]=[s("div"),s("div"),s("p")];function p(){for(let[v,$]of c)$.set(e.get(v));let[n,x,b,N]=["version","part","row","column"].map(v=>e.get(v)),[f,g]=[re(n,x),U(n,x,b-1,N-1)],w=L.find(([v])=>v===x)[1],O=`${E(f)} of ${k*k} pixels (${100*E(f)/(k*k)}%)`,K=`Input: the ${w} of version ${n} reads ${O}`;i.replaceChildren(V(`${K}; ${E(g)} of them for the chosen pixel of the output`,f.map((v,$)=>v.map((W,_)=>g[$][_]?"lit":W?"read":"unread")))),u.replaceChildren(V(`Output: row ${b}, column ${N} is chosen`,y(A).map(v=>y(A).map($=>v===b-1&&$===N-1?"lit":"read")),(v,$)=>o({row:v+1,column:$+1}))),z(d,`The ${w} of version ${n} reads ${O}. The chosen pixel of the output reads ${E(g)}.`),t.say(d.textContent)}let h=j(p);e.on("change",h);let m=(n,x)=>s("figure",{},n,s("figcaption",{},x));return r.append(q("Stride explorer",s("div",{class:"rx-controls"},c.map(([,n])=>n.node)),s("div",{class:"rx-st"},m(i,`input, ${k}×${k}; a cross: never read`),m(u,`output, ${A}×${A}; choose a pixel`)),d,t.node)),p(),()=>{e.off("change",h),h.cancel(),t.stop()}}var xe={render:te};export{k as SIZE,xe as default,re as readByAny,U as reads};
