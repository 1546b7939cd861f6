/* resnet_edu explorers, MIT licence; made by `make widgets` from sources d8fd0a334f82a762da3988b48c739daee53c4d53f68bb067ad7480fba4cb35c0 */
var P=e=>typeof e=="number"&&Number.isFinite(e);function $(e,[r,o],[t,a]){if(e==="log"){let n=$("linear",[Math.log10(r),Math.log10(o)],[t,a]);return s=>n(Math.log10(Math.max(s,r)))}return n=>t+(n-r)/(o-r||1)*(a-t)}function T(e,r,o=5){if(!(r>e))return[e];let t=(r-e)/o,a=10**Math.floor(Math.log10(t)+1e-9),n=a*[1,2,5,10].find(c=>c*a>=t*(1-1e-9)),s=[];for(let c=Math.ceil(e/n-1e-9);c*n<=r+n*1e-9;c++)s.push(Number((c*n).toPrecision(12)));return s}function C(e,r,o=6){let[t,a]=[Math.ceil(Math.log10(e)-1e-9),Math.floor(Math.log10(r)+1e-9)],n=Math.max(1,Math.ceil((a-t+1)/o)),s=[];for(let c=t-1;c<=a;c++)for(let p of a-t<2?[1,2,5]:[1]){let f=Number((p*10**c).toPrecision(6));f>=e*(1-1e-9)&&f<=r*(1+1e-9)&&(p>1||(c-t)%n===0)&&s.push(f)}return s}var j=e=>Math.round(e*10)/10;function L(e){let r="M";return e.map(([o,t])=>{if(!P(t))return r="M","";let a=`${r}${j(o)} ${j(t)}`;return r="L",a}).join("")}function y(e,r=3){if(!P(e))return"no number";let o=Number(e.toPrecision(r));if(e!==0&&(Math.abs(o)<.001||Math.abs(o)>=1e6)){let[t,a]=e.toExponential(r-1).split("e").map(Number),n=String(a).replace(/./g,s=>"⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(s)]);return`${t===1?"":`${t} · `}10${n}`}return o.toLocaleString("en-US",{maximumFractionDigits:6})}var I=`/* The explorers' style. Colours are variables, in light and in dark: they follow the book, JupyterLab, VS Code, or the
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
`;function O(e,r="",o=""){let t=e.getRootNode(),a=t instanceof ShadowRoot?t:document.head;for(let[n,s]of[["shared",I],[r,o]]){if(!s||a.querySelector(`style[data-rx="${n}"]`))continue;let c=document.createElement("style");c.dataset.rx=n,c.textContent=s,a.append(c)}}var ee="http://www.w3.org/2000/svg",re=0,z=(e="x")=>`rx-${e}-${++re}-${Math.random().toString(36).slice(2,7)}`;function R(e,r,o){for(let[t,a]of Object.entries(r??{}))a==null||a===!1||(t.startsWith("on")?e.addEventListener(t.slice(2),a):t==="value"||t==="checked"||t==="disabled"||t==="hidden"?e[t]=a:e.setAttribute(t,a===!0?"":a));return e.append(...o.flat(9).filter(t=>t!=null&&t!==!1)),e}var x=(e,r,...o)=>R(document.createElement(e),r,o),k=(e,r,...o)=>R(document.createElementNS(ee,e),r,o);function te(e,r){for(let[o,t]of Object.entries(r))if(t==null||t===!1)e.hasAttribute(o)&&e.removeAttribute(o);else{let a=t===!0?"":String(t);e.getAttribute(o)!==a&&e.setAttribute(o,a)}return e}function S(e,r){return e.textContent!==r&&(e.textContent=r),e}var M=e=>String(e).replace(/\B(?=(\d{3})+(?!\d))/g,",");function U(e){let r=0,o=()=>{r||(r=requestAnimationFrame(()=>{r=0,e()}))};return o.cancel=()=>{r&&cancelAnimationFrame(r),r=0},o}function ae(e,{min:r,max:o,step:t=1,fallback:a}){let n=e.trim(),s=/^[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?(e[+-]?\d+)?$/i.test(n)?Number(n.replace(/,/g,"")):NaN;if(!Number.isFinite(s))return{value:a,problem:`A whole number from ${r} to ${o} is needed; ${a} is kept.`};let c=r+Math.round((Math.min(o,Math.max(r,s))-r)/t)*t,p=c>o?c-t:c,f=n.length>16?`${n.slice(0,12)}…`:n;if(s<r)return{value:p,problem:`${f} is too small: the least is ${r}.`};if(s>o)return{value:p,problem:`${f} is too large: the most is ${o}.`};if(s!==p){let d=t===1?"a whole number":`one of ${r}, ${r+t}, ${r+2*t}, ...`;return{value:p,problem:`${f} is not ${d}: ${p} is taken.`}}return{value:p,problem:""}}function B({label:e,min:r,max:o,step:t=1,value:a,onchange:n,slider:s=!0,unit:c=""}){let p=z("n"),f={min:r,max:o,step:t},d=x("div",{class:"rx-note",id:`${p}-note`,"aria-live":"polite"}),g=x("input",{id:p,class:"rx-number",type:"text",inputmode:"numeric",autocomplete:"off","aria-describedby":`${p}-note`,value:String(a),onchange:()=>b(!0),oninput:()=>b(!1),onkeydown(i){let h={ArrowUp:1,ArrowDown:-1,PageUp:10,PageDown:-10}[i.key];h&&(i.preventDefault(),m(Math.min(f.max,Math.max(f.min,u+h*f.step)),!0))}}),l=s?x("input",{class:"rx-range",type:"range",min:r,max:o,step:t,value:String(a),"aria-label":`${e}, slider`,oninput:()=>m(Number(l.value),!1),onchange:()=>m(Number(l.value),!0)}):null,u=a;function m(i,h,w=""){let N=i!==u;u=i,l&&(l.value=String(i)),(h||document.activeElement!==g)&&(g.value=String(i)),g.setAttribute("aria-invalid",w?"true":"false"),S(d,w),(N||h)&&n(i,h)}let b=i=>{let{value:h,problem:w}=ae(g.value,{...f,fallback:u});(i||!w)&&m(h,i,w)};return{node:x("div",{class:"rx-field"},x("label",{for:p},e,c&&x("span",{class:"rx-unit"},` (${c})`)),x("div",{class:"rx-pair"},g,l),d),get value(){return u},set(i,h={}){let w=i!==u;Object.assign(f,h),l&&te(l,{min:f.min,max:f.max,step:f.step}),u=i,l&&(l.value=String(i)),w&&(g.value=String(i),S(d,""),g.setAttribute("aria-invalid","false"))}}}function _({label:e,options:r,value:o,onchange:t}){let a=z("r"),n=x("div",{class:"rx-radios"}),s=[],c=o;function p(f){s=f,n.replaceChildren(...f.map(([d,g,l])=>{let u=z("o"),m=x("input",{type:"radio",name:a,id:u,value:String(d),checked:d===c,disabled:!!l,onchange:()=>{c=d,t(d,!0)}});return x("span",{class:"rx-radio",title:l||null},m,x("label",{for:u},g,l&&x("span",{class:"rx-spoken"},` (${l})`)))}))}return p(r),{node:x("fieldset",{class:"rx-field"},x("legend",{},e),n),get value(){return c},set(f,d){c=f,d&&JSON.stringify(d)!==JSON.stringify(s)&&p(d);for(let g of n.querySelectorAll("input"))g.checked=g.value===String(f)}}}function D({caption:e,columns:r,rows:o,foot:t=[]}){let a=s=>r[s][1]==="number"?"rx-num":null,n=s=>x("tr",{},s.map((c,p)=>p?x("td",{class:a(p)},c):x("th",{scope:"row"},c)));return x("div",{class:"rx-scroll",tabindex:"0",role:"region","aria-label":e},x("table",{class:"rx-table"},x("caption",{},e),x("thead",{},x("tr",{},r.map(([s],c)=>x(s?"th":"td",{scope:!!s&&"col",class:a(c)},s)))),x("tbody",{},o.map(n)),t.length>0&&x("tfoot",{},t.map(n))))}var H=(e,...r)=>x("div",{class:"rx",role:"group","aria-label":e,"data-lm-suppress-shortcuts":"true",onkeydown:o=>o.ctrlKey||o.metaKey||o.stopPropagation()},r);var q=`.rx-holder{min-width:0;margin:.2rem 0 .4rem}
.rx svg.rx-chart{touch-action:pan-y;user-select:none}
.rx-chart text{font-size:12.5px}
.rx-grid{stroke:var(--rx-line)}
.rx-axes text{fill:var(--rx-muted)}
.rx-axes .rx-axis-title{fill:var(--rx-ink);font-weight:600}
.rx-axis{fill:none;stroke:var(--rx-strong-line)}
.rx-swatch{display:inline-block!important;vertical-align:middle;margin-right:.45rem;flex:none}
.rx-swatch+span{white-space:nowrap}
.rx-choices{align-items:start}
.rx-choices>.rx-field{margin-right:1rem}
.rx-choices .rx-pair{min-height:2rem}
.rx .rx-wrap th{white-space:normal}
@container (max-width:36rem){.rx-choices>.rx-field{width:100%}}
`;var A=7.2,ne=30,ie=42;function J(e,{width:r,height:o,x:t,y:a,right:n=12}){let s=(i,h)=>(i.format??y)(h),c=(a.kind==="log"?C:T)(...a.domain),p=c.map(i=>a.zero&&i===a.domain[0]?"0":s(a,i)),d={left:Math.ceil(Math.max(...p.map(i=>i.length))*A)+12,right:r-n,top:ne,bottom:o-ie},g=$("linear",t.domain,[d.left,d.right]),l=$(a.kind,a.domain,[d.bottom,d.top]),u=(i,h,w,N)=>k("text",{x:i,y:h,"text-anchor":N},w),m=Math.max(2,Math.floor((d.right-d.left)/(A*6))),b=T(...t.domain,Math.min(6,m)).filter(i=>!t.whole||Number.isInteger(i)),v=k("g");return e.replaceChildren(k("g",{class:"rx-axes","aria-hidden":"true"},c.map((i,h)=>[k("path",{class:"rx-grid",d:`M${d.left} ${l(i)}H${d.right}`}),u(d.left-7,l(i)+4,p[h],"end")]),b.map(i=>u(Math.min(g(i),r-s(t,i).length*A/2),d.bottom+18,s(t,i),"middle")),k("path",{class:"rx-axis",d:`M${d.left} ${d.top}V${d.bottom}H${d.right}`}),k("text",{x:0,y:14,class:"rx-axis-title"},a.title),u(Math.min(r,Math.max(d.right,t.title.length*A)),o-6,t.title,"end")),v),se(e,r,o),{sx:g,sy:l,layer:v,...d}}function se(e,r,o){for(let[t,a]of Object.entries({width:r,height:o,viewBox:`0 0 ${r} ${o}`}))e.setAttribute(t,a)}function W(e,r,o=""){let t=k("svg",{class:`rx-chart ${o}`,role:"img","aria-label":e}),a=x("div",{class:"rx-holder"},t),n=0,s=()=>{n=Math.floor(a.clientWidth),n>0&&r(t,n)},c=new ResizeObserver(()=>Math.floor(a.clientWidth)!==n&&s());return c.observe(a),{node:a,root:t,draw:s,stop:()=>c.disconnect()}}function K(e){let r=x("div",{class:"rx-scroll rx-wrap",tabindex:"0",role:"region","aria-label":e});return{node:r,fill:o=>r.replaceChildren(D(o).firstChild)}}function F(e,r){for(let[o,t]of Object.entries(r))e.set(o,t);e.save_changes()}function V(e,r,o){let t=r.split(" ").map(a=>`change:${a}`);return t.forEach(a=>e.on(a,o)),()=>t.forEach(a=>e.off(a,o))}function Y(e,r,o){O(e,"chart",q),O(e,r,o)}var G=`.rx-sc-now{fill:var(--rx-accent)}
.rx-sc-line{fill:none;stroke:var(--rx-accent);stroke-width:2.2}
`;var ce=[["steps","steps"],["cosine","cosine"],["constant","constant"]],de=[.3,.1,.03,.01].map(e=>[e,String(e)]),xe=[1/2,1/10,1/100],Z="shape peak steps first second warmup update",Q=e=>[e.first,e.second].map(r=>Math.floor(r*e.steps/100));function E(e,r){return r<e.warmup?e.peak*(r+1)/e.warmup:e.shape==="constant"?e.peak:e.shape==="steps"?e.peak/10**Q(e).filter(o=>r>=o).length:e.peak*(1+Math.cos(Math.PI*(r-e.warmup)/Math.max(1,e.steps-e.warmup)))/2}function pe(e){let r=xe.map(a=>a*e.peak),o=[0,0,0,0];for(let a=0;a<e.steps;a++){let n=E(e,a)*1.000000001;o[r.filter(s=>n<s).length]++}return[...r.map((a,n)=>n?`${y(a)} to ${y(r[n-1])}`:`${y(a)} and more`),`below ${y(r[2])}`].map((a,n)=>[a,o[n]])}function ue(e){let r=Array.from({length:301},(t,a)=>Math.round(a*(e.steps-1)/300)),o=[e.warmup,...Q(e)].flatMap(t=>[t-1,t]);return[...new Set([...r,...o])].filter(t=>t>=0&&t<e.steps).sort((t,a)=>t-a)}function fe({model:e,el:r}){Y(r,"schedule",G);let o={},t=(l,u,m)=>{o[u]=_({label:l,options:m,value:e.get(u),onchange:b=>F(e,{[u]:b})})},a=(l,u,m,b,v,i)=>{o[u]=B({label:l,min:m,max:b,step:v,unit:i,value:e.get(u),onchange:h=>F(e,{[u]:h})})};t("Shape","shape",ce),t("Highest rate","peak",de),a("Updates in all","steps",100,1e5,100),a("First fall","first",1,100,1,"% of all updates"),a("Second fall","second",1,100,1,"% of all updates"),a("Warm-up","warmup",0,1e4,100,"updates"),a("Read the rate at update","update",1,1e5,1);let n=()=>Object.fromEntries(Z.split(" ").map(l=>[l,e.get(l)])),s=x("p",{class:"rx-story",role:"status"}),c=K("Updates at each rate"),p=W("Learning rate over the training",(l,u)=>{let m=n(),b=J(l,{width:u,right:18,height:Math.round(Math.min(320,Math.max(220,u*.42))),x:{domain:[0,m.steps],title:"updates done",whole:!0,format:M},y:{kind:"log",domain:[m.peak/1e3,m.peak*1.5],title:"learning rate"}}),v=Math.min(m.update,m.steps)-1;b.layer.append(k("path",{class:"rx-sc-line",d:L(ue(m).map(i=>[b.sx(i),b.sy(E(m,i))]))}),k("circle",{class:"rx-sc-now",r:5,cx:b.sx(v),cy:b.sy(E(m,v))}))});function f(){let l=n();for(let[v,i]of Object.entries(o))v!=="update"&&i.set(l[v]);o.update.set(Math.min(l.update,l.steps),{max:l.steps});for(let v of["first","second"])o[v].node.hidden=l.shape!=="steps";let u=pe(l),m=u.map(([v,i])=>[v,M(i),`${(100*i/l.steps).toFixed(1)}%`]);c.fill({caption:"Updates at each rate",columns:[["rate",""],["updates","number"],["share","number"]],rows:m});let b=Math.min(l.update,l.steps);S(s,`Update ${M(b)} of ${M(l.steps)} is made at a rate of ${y(E(l,b-1),4)}.`),p.root.setAttribute("aria-label",`Learning rate over ${M(l.steps)} updates, logarithmic. ${s.textContent} Updates at each rate: ${u.map(([v,i])=>`${v}: ${M(i)}`).join("; ")}.`),p.draw()}r.append(H("Schedule explorer",x("div",{class:"rx-controls"},Object.values(o).map(l=>l.node)),p.node,s,c.node)),f();let d=U(f),g=[V(e,Z,d),d.cancel,p.stop];return()=>g.forEach(l=>l())}var Fe={render:fe};export{pe as counts,Fe as default,E as rateAt};
