/* resnet_edu explorers, MIT licence; made by `make widgets` from sources 68b639f7e5aac6ad70da03cfdb45daa251a4b5c8d8bd8c5063301374b258dfd2 */
var D=e=>typeof e=="number"&&Number.isFinite(e);function W(e,r){let o=0;for(let t=1;t<e.length;t++)Math.abs(e[t]-r)<Math.abs(e[o]-r)&&(o=t);return o}function C(e,[r,o],[t,n]){if(e==="log"){let s=C("linear",[Math.log10(r),Math.log10(o)],[t,n]);return i=>s(Math.log10(Math.max(i,r)))}return s=>t+(s-r)/(o-r||1)*(n-t)}function j(e,r,o=5){if(!(r>e))return[e];let t=(r-e)/o,n=10**Math.floor(Math.log10(t)+1e-9),s=n*[1,2,5,10].find(a=>a*n>=t*(1-1e-9)),i=[];for(let a=Math.ceil(e/s-1e-9);a*s<=r+s*1e-9;a++)i.push(Number((a*s).toPrecision(12)));return i}function q(e,r,o=6){let[t,n]=[Math.ceil(Math.log10(e)-1e-9),Math.floor(Math.log10(r)+1e-9)],s=Math.max(1,Math.ceil((n-t+1)/o)),i=[];for(let a=t-1;a<=n;a++)for(let c of n-t<2?[1,2,5]:[1]){let f=Number((c*10**a).toPrecision(6));f>=e*(1-1e-9)&&f<=r*(1+1e-9)&&(c>1||(a-t)%s===0)&&i.push(f)}return i}var _=e=>Math.round(e*10)/10;function H(e){let r="M";return e.map(([o,t])=>{if(!D(t))return r="M","";let n=`${r}${_(o)} ${_(t)}`;return r="L",n}).join("")}function M(e,r=3){if(!D(e))return"no number";let o=Number(e.toPrecision(r));if(e!==0&&(Math.abs(o)<.001||Math.abs(o)>=1e6)){let[t,n]=e.toExponential(r-1).split("e").map(Number),s=String(n).replace(/./g,i=>"⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(i)]);return`${t===1?"":`${t} · `}10${s}`}return o.toLocaleString("en-US",{maximumFractionDigits:6})}var J={plain:{color:"var(--rx-plain)",dash:[4,1.6]},residual:{color:"var(--rx-residual)",dash:[]}};var K=`/* The explorers' style. Colours are variables, in light and in dark: they follow the book, JupyterLab, VS Code, or the
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
`;function F(e,r="",o=""){let t=e.getRootNode(),n=t instanceof ShadowRoot?t:document.head;for(let[s,i]of[["shared",K],[r,o]]){if(!i||n.querySelector(`style[data-rx="${s}"]`))continue;let a=document.createElement("style");a.dataset.rx=s,a.textContent=i,n.append(a)}}var pe="http://www.w3.org/2000/svg",me=0,V=(e="x")=>`rx-${e}-${++me}-${Math.random().toString(36).slice(2,7)}`;function G(e,r,o){for(let[t,n]of Object.entries(r??{}))n==null||n===!1||(t.startsWith("on")?e.addEventListener(t.slice(2),n):t==="value"||t==="checked"||t==="disabled"||t==="hidden"?e[t]=n:e.setAttribute(t,n===!0?"":n));return e.append(...o.flat(9).filter(t=>t!=null&&t!==!1)),e}var h=(e,r,...o)=>G(document.createElement(e),r,o),g=(e,r,...o)=>G(document.createElementNS(pe,e),r,o);function I(e,r){return e.textContent!==r&&(e.textContent=r),e}function Y(e){let r=0,o=()=>{r||(r=requestAnimationFrame(()=>{r=0,e()}))};return o.cancel=()=>{r&&cancelAnimationFrame(r),r=0},o}var Z=(e,...r)=>h("div",{class:"rx",role:"group","aria-label":e,"data-lm-suppress-shortcuts":"true",onkeydown:o=>o.ctrlKey||o.metaKey||o.stopPropagation()},r);var Q=`.rx-holder{min-width:0;margin:.2rem 0 .4rem}
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
`;var P=7.2,ge=30,be=42;function X(e,{width:r,height:o,x:t,y:n,right:s=12}){let i=(x,$)=>(x.format??M)($),a=(n.kind==="log"?q:j)(...n.domain),c=a.map(x=>n.zero&&x===n.domain[0]?"0":i(n,x)),l={left:Math.ceil(Math.max(...c.map(x=>x.length))*P)+12,right:r-s,top:ge,bottom:o-be},b=C("linear",t.domain,[l.left,l.right]),u=C(n.kind,n.domain,[l.bottom,l.top]),m=(x,$,N,S)=>g("text",{x,y:$,"text-anchor":S},N),v=Math.max(2,Math.floor((l.right-l.left)/(P*6))),T=j(...t.domain,Math.min(6,v)).filter(x=>!t.whole||Number.isInteger(x)),A=g("g");return e.replaceChildren(g("g",{class:"rx-axes","aria-hidden":"true"},a.map((x,$)=>[g("path",{class:"rx-grid",d:`M${l.left} ${u(x)}H${l.right}`}),m(l.left-7,u(x)+4,c[$],"end")]),T.map(x=>m(Math.min(b(x),r-i(t,x).length*P/2),l.bottom+18,i(t,x),"middle")),g("path",{class:"rx-axis",d:`M${l.left} ${l.top}V${l.bottom}H${l.right}`}),g("text",{x:0,y:14,class:"rx-axis-title"},n.title),m(Math.min(r,Math.max(l.right,t.title.length*P)),o-6,t.title,"end")),A),ve(e,r,o),{sx:b,sy:u,layer:A,...l}}function ve(e,r,o){for(let[t,n]of Object.entries({width:r,height:o,viewBox:`0 0 ${r} ${o}`}))e.setAttribute(t,n)}function ee(e,r,o=""){let t=g("svg",{class:`rx-chart ${o}`,role:"img","aria-label":e}),n=h("div",{class:"rx-holder"},t),s=0,i=()=>{s=Math.floor(n.clientWidth),s>0&&r(t,s)},a=new ResizeObserver(()=>Math.floor(n.clientWidth)!==s&&i());return a.observe(n),{node:n,root:t,draw:i,stop:()=>a.disconnect()}}var re=({color:e,dash:r,width:o})=>({fill:"none",stroke:e,"stroke-width":o,"stroke-dasharray":r.map(t=>(t*o).toFixed(1)).join(" ")||null});function te(e,r){for(let[o,t]of Object.entries(r))e.set(o,t);e.save_changes()}function ne(e,r,o){let t=r.split(" ").map(n=>`change:${n}`);return t.forEach(n=>e.on(n,o)),()=>t.forEach(n=>e.off(n,o))}function oe(e,r,o){F(e,"chart",Q),F(e,r,o)}var ke=e=>({worker:()=>Promise.resolve(`${e.get("_worker")}
rxWorkers.dissecting()`),data:r=>new Promise((o,t)=>{let n=(a,c)=>{clearTimeout(s),e.off("msg:custom",i),a(c)},s=setTimeout(()=>n(t,new Error("the kernel has sent nothing for 30 seconds; when it is idle, run this cell again")),3e4),i=({weights:a,problem:c},[f]=[])=>{a===r&&(c?n(t,new Error(c)):n(o,new Uint8Array(f.buffer,f.byteOffset,f.byteLength).slice()))};e.on("msg:custom",i),e.send({weights:r})})});function ae({model:e,worker:r,data:o,heard:t,failed:n}){let s=r?{worker:r,data:o}:ke(e),i=e.get("files"),[a,c,f]=[null,null,!1];return{async open(l,b=()=>{}){try{c??(c=URL.createObjectURL(new Blob([await s.worker("dissecting")],{type:"text/javascript"}))),!a&&!f&&(a=new Worker(c),a.onmessage=u=>t(u.data),a.onerror=n);for(let u of l){b(u);let m=await s.data(u,"dissecting");if(f)return;a.postMessage({net:u,[typeof m=="string"?"base64":"bytes"]:m,sha256:i[u].sha256})}}catch(u){n(u)}},post:l=>a.postMessage(l),megabytes:l=>l.reduce((b,u)=>b+i[u].bytes,0)*(r?4/3:1)/1e6,end(){f=!0,a?.terminate(),c&&URL.revokeObjectURL(c)}}}var ie=`.rx-id-chance{stroke:var(--rx-muted);stroke-dasharray:3 3}
.rx-id-point{fill:var(--rx-paper);stroke-width:2}
`;var w=[0,1,2,3,4,5,7,10,15,20,30,40,50,60,80,100],se=Math.log(10),le=40;function we({model:e,el:r,worker:o,data:t}){oe(r,"identity",ie);let n=e.get("kind"),s={...J[n==="plain"?"plain":"residual"],width:2.4},[i,a]=[`${n}20`,`${n}56`],c=new Map,f=ae({model:e,worker:o,data:t,heard:A,failed:T}),[l,b]=["ready",""],u=0,m=null,v=()=>w[W(w,e.get("percent"))];function T(d){[l,b]=["ready",`The nets could not be opened here: ${d.message??"the browser refuses a worker"}.`],O()}function A(d){return d.problem?T({message:`${d.net}: ${d.problem}`}):(d.blend?(c.set(d.blend.percent,d.blend),m=null):++u===2&&(l="there"),x(),O())}function x(){l!=="there"||m!==null||(m=[v(),...w].find(d=>!c.has(d))??null,m!==null&&f.post({blend:{shallow:i,deep:a,percent:m}}))}function $(){l==="ready"&&([l,u,b]=["loading",0,""],f.open([i,a])),x(),O()}let N=V("identity"),S=h("input",{class:"rx-range",type:"range",id:N,min:0,max:w.length-1,step:1,oninput:()=>te(e,{percent:w[S.value]})}),R=h("output",{for:N}),B=h("p",{class:"rx-story",role:"status"}),ce=h("p",{class:"rx-hint"},`Computed in this page with the trained ${i} and ${a}, in evaluation mode, on ${le} training images. Dotted: the loss of a guess, ${M(se)}.`);function de(){if(b)return b;let d=c.get(v());if(l==="ready")return`Move the slider: ${f.megabytes([i,a]).toFixed(1)} MB of weights come into the page.`;if(!d)return l==="loading"?"The nets are on their way …":"…";let k=`loss ${M(d.loss)}, ${d.wrong} of ${le} images wrong`;return v()===0?`18 blocks that do nothing: ${k}. So does ${i}. ${a}, trained from scratch, has a loss of ${M(d.trained)}.`:v()===100?`The 18 blocks are those of ${a}: ${k}.`:`${v()}% of the way: ${k}.`}let L=ee("Loss along the way",(d,k)=>{let y=w.filter(p=>c.has(p)),fe=Math.max(3,...y.map(p=>1.05*c.get(p).loss)),E=X(d,{width:k,height:Math.round(Math.min(260,Math.max(200,k*.4))),right:24,x:{domain:[0,100],title:`from the identity to the blocks of ${a}`,format:p=>`${p}%`},y:{domain:[0,fe],title:"loss"}}),z=p=>[E.sx(p),E.sy(c.get(p).loss)];E.layer.append(g("path",{class:"rx-id-chance",d:`M${E.left} ${E.sy(se)}H${E.right}`}),g("path",{...re(s),d:H(y.map(z))}),...y.filter(p=>p===v()).map(p=>g("circle",{cx:z(p)[0],cy:z(p)[1],r:5.5,class:"rx-id-point",stroke:s.color})))});function U(){let d=v();S.value=w.indexOf(d),I(R,`${d}%`),S.setAttribute("aria-valuetext",`${d}% of the way`),I(B,de());let k=w.filter(y=>c.has(y)).map(y=>`${y}%: ${M(c.get(y).loss)}`);L.root.setAttribute("aria-label",`Loss along the way. ${k.join(", ")||"Nothing is computed yet."}`),L.draw()}let O=Y(U);r.append(Z("Identity slider",h("div",{class:"rx-title"},`${i}, trained, and 18 blocks more`),h("div",{class:"rx-field"},h("label",{for:N},"From doing nothing to what was learnt"),h("div",{class:"rx-pair"},R,S)),L.node,B,ce)),U();let xe=[ne(e,"percent",$),O.cancel,L.stop,f.end];return()=>xe.forEach(d=>d())}var We={render:we};export{We as default};
