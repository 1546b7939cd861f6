/* resnet_edu explorers, MIT licence; made by `make widgets` from sources 74d3df4d0a8e3e68f7d82c3c57dbce4360c1d0ed9305bb59bd1a81e04096ac9c */
var $=e=>typeof e=="number"&&Number.isFinite(e);function N(e,[r,n],[t,o]){if(e==="log"){let a=N("linear",[Math.log10(r),Math.log10(n)],[t,o]);return i=>a(Math.log10(Math.max(i,r)))}return a=>t+(a-r)/(n-r||1)*(o-t)}function z(e,r,n=5){if(!(r>e))return[e];let t=(r-e)/n,o=10**Math.floor(Math.log10(t)+1e-9),a=o*[1,2,5,10].find(l=>l*o>=t*(1-1e-9)),i=[];for(let l=Math.ceil(e/a-1e-9);l*a<=r+a*1e-9;l++)i.push(Number((l*a).toPrecision(12)));return i}function _(e,r,n=6){let[t,o]=[Math.ceil(Math.log10(e)-1e-9),Math.floor(Math.log10(r)+1e-9)],a=Math.max(1,Math.ceil((o-t+1)/n)),i=[];for(let l=t-1;l<=o;l++)for(let m of o-t<2?[1,2,5]:[1]){let c=Number((m*10**l).toPrecision(6));c>=e*(1-1e-9)&&c<=r*(1+1e-9)&&(m>1||(l-t)%a===0)&&i.push(c)}return i}function B(e){let r=e.filter(t=>$(t)&&t>0).map(Math.log10);if(!r.length)return[.1,1];let n=Math.floor(Math.min(...r)+1e-9);return[10**n,10**Math.max(n+1,Math.ceil(Math.max(...r)-1e-9))]}var P=e=>Math.round(e*10)/10;function I(e){let r="M";return e.map(([n,t])=>{if(!$(t))return r="M","";let o=`${r}${P(n)} ${P(t)}`;return r="L",o}).join("")}function R(e,r,n,t){let o=e.map((c,s)=>s).sort((c,s)=>e[c]-e[s]);o.length>1&&(r=Math.min(r,(t-n)/(o.length-1)));let a=([c,s])=>Math.min(Math.max(c/s,n),t-(s-1)*r),i=[];for(let c of o)for(i.push([e[c],1]);i.length>1&&a(i.at(-2))+i.at(-2)[1]*r>a(i.at(-1));){let[s,p]=i.pop(),h=i.at(-1);h[0]+=s-p*h[1]*r,h[1]+=p}let l=i.flatMap(c=>Array.from({length:c[1]},(s,p)=>a(c)+p*r)),m=[];return o.forEach((c,s)=>m[c]=l[s]),m}function w(e,r=3){if(!$(e))return"no number";let n=Number(e.toPrecision(r));if(e!==0&&(Math.abs(n)<.001||Math.abs(n)>=1e6)){let[t,o]=e.toExponential(r-1).split("e").map(Number),a=String(o).replace(/./g,i=>"⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(i)]);return`${t===1?"":`${t} · `}10${a}`}return n.toLocaleString("en-US",{maximumFractionDigits:6})}var D=`/* The explorers' style. Colours are variables, in light and in dark: they follow the book, JupyterLab, VS Code, or the
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
`;function O(e,r="",n=""){let t=e.getRootNode(),o=t instanceof ShadowRoot?t:document.head;for(let[a,i]of[["shared",D],[r,n]]){if(!i||o.querySelector(`style[data-rx="${a}"]`))continue;let l=document.createElement("style");l.dataset.rx=a,l.textContent=i,o.append(l)}}var ie="http://www.w3.org/2000/svg",se=0,E=(e="x")=>`rx-${e}-${++se}-${Math.random().toString(36).slice(2,7)}`;function q(e,r,n){for(let[t,o]of Object.entries(r??{}))o==null||o===!1||(t.startsWith("on")?e.addEventListener(t.slice(2),o):t==="value"||t==="checked"||t==="disabled"||t==="hidden"?e[t]=o:e.setAttribute(t,o===!0?"":o));return e.append(...n.flat(9).filter(t=>t!=null&&t!==!1)),e}var d=(e,r,...n)=>q(document.createElement(e),r,n),g=(e,r,...n)=>q(document.createElementNS(ie,e),r,n);function C(e,r){return e.textContent!==r&&(e.textContent=r),e}var J=e=>String(e).replace(/\B(?=(\d{3})+(?!\d))/g,",");function V(e){let r=0,n=()=>{r||(r=requestAnimationFrame(()=>{r=0,e()}))};return n.cancel=()=>{r&&cancelAnimationFrame(r),r=0},n}function G({label:e,options:r,value:n,onchange:t}){let o=E("r"),a=d("div",{class:"rx-radios"}),i=[],l=n;function m(c){i=c,a.replaceChildren(...c.map(([s,p,h])=>{let v=E("o"),M=d("input",{type:"radio",name:o,id:v,value:String(s),checked:s===l,disabled:!!h,onchange:()=>{l=s,t(s,!0)}});return d("span",{class:"rx-radio",title:h||null},M,d("label",{for:v},p,h&&d("span",{class:"rx-spoken"},` (${h})`)))}))}return m(r),{node:d("fieldset",{class:"rx-field"},d("legend",{},e),a),get value(){return l},set(c,s){l=c,s&&JSON.stringify(s)!==JSON.stringify(i)&&m(s);for(let p of a.querySelectorAll("input"))p.checked=p.value===String(c)}}}function H({caption:e,columns:r,rows:n,foot:t=[]}){let o=i=>r[i][1]==="number"?"rx-num":null,a=i=>d("tr",{},i.map((l,m)=>m?d("td",{class:o(m)},l):d("th",{scope:"row"},l)));return d("div",{class:"rx-scroll",tabindex:"0",role:"region","aria-label":e},d("table",{class:"rx-table"},d("caption",{},e),d("thead",{},d("tr",{},r.map(([i],l)=>d(i?"th":"td",{scope:!!i&&"col",class:o(l)},i)))),d("tbody",{},n.map(a)),t.length>0&&d("tfoot",{},t.map(a))))}var U=(e,...r)=>d("div",{class:"rx",role:"group","aria-label":e,"data-lm-suppress-shortcuts":"true",onkeydown:n=>n.ctrlKey||n.metaKey||n.stopPropagation()},r);var W=`.rx-holder{min-width:0;margin:.2rem 0 .4rem}
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
`;var A=7.2,ce=30,de=42;function K(e,{width:r,height:n,x:t,y:o,right:a=12}){let i=(x,f)=>(x.format??w)(f),l=(o.kind==="log"?_:z)(...o.domain),m=l.map(x=>o.zero&&x===o.domain[0]?"0":i(o,x)),s={left:Math.ceil(Math.max(...m.map(x=>x.length))*A)+12,right:r-a,top:ce,bottom:n-de},p=N("linear",t.domain,[s.left,s.right]),h=N(o.kind,o.domain,[s.bottom,s.top]),v=(x,f,k,y)=>g("text",{x,y:f,"text-anchor":y},k),M=Math.max(2,Math.floor((s.right-s.left)/(A*6))),S=z(...t.domain,Math.min(6,M)).filter(x=>!t.whole||Number.isInteger(x)),u=g("g");return e.replaceChildren(g("g",{class:"rx-axes","aria-hidden":"true"},l.map((x,f)=>[g("path",{class:"rx-grid",d:`M${s.left} ${h(x)}H${s.right}`}),v(s.left-7,h(x)+4,m[f],"end")]),S.map(x=>v(Math.min(p(x),r-i(t,x).length*A/2),s.bottom+18,i(t,x),"middle")),g("path",{class:"rx-axis",d:`M${s.left} ${s.top}V${s.bottom}H${s.right}`}),g("text",{x:0,y:14,class:"rx-axis-title"},o.title),v(Math.min(r,Math.max(s.right,t.title.length*A)),n-6,t.title,"end")),u),xe(e,r,n),{sx:p,sy:h,layer:u,...s}}function xe(e,r,n){for(let[t,o]of Object.entries({width:r,height:n,viewBox:`0 0 ${r} ${n}`}))e.setAttribute(t,o)}function Y(e,r,n=""){let t=g("svg",{class:`rx-chart ${n}`,role:"img","aria-label":e}),o=d("div",{class:"rx-holder"},t),a=0,i=()=>{a=Math.floor(o.clientWidth),a>0&&r(t,a)},l=new ResizeObserver(()=>Math.floor(o.clientWidth)!==a&&i());return l.observe(o),{node:o,root:t,draw:i,stop:()=>l.disconnect()}}var F=({color:e,dash:r,width:n})=>({fill:"none",stroke:e,"stroke-width":n,"stroke-dasharray":r.map(t=>(t*n).toFixed(1)).join(" ")||null}),L=e=>[g("svg",{class:"rx-swatch",width:32,height:10,"aria-hidden":"true"},g("path",{d:"M1 5H31",...F(e)})),d("span",{},e.net)],Z=e=>22+7.4*Math.max(...e.map(r=>r.net.length));function Q({right:e,top:r,bottom:n},t,o){let a=R(o,16,r+4,n);return t.map((i,l)=>[g("path",{d:`M${e} ${o[l]}L${e+9} ${a[l]}h5`,stroke:i.color,fill:"none"}),g("text",{x:e+18,y:a[l]+4},i.net)])}function X(e){let r=d("div",{class:"rx-scroll rx-wrap",tabindex:"0",role:"region","aria-label":e});return{node:r,fill:n=>r.replaceChildren(H(n).firstChild)}}function ee(e,r){for(let[n,t]of Object.entries(r))e.set(n,t);e.save_changes()}function re(e,r,n){let t=r.split(" ").map(o=>`change:${o}`);return t.forEach(o=>e.on(o,n)),()=>t.forEach(o=>e.off(o,n))}function te(e,r,n){O(e,"chart",W),O(e,r,n)}var ne=`.rx-story{min-height:2.9em}
.rx .rx-wrap tbody th{min-width:7.5rem}
`;function fe(e,r){let n=E("l"),t=d("input",{class:"rx-range",type:"range",id:n,min:0,step:1,oninput:()=>r(a[t.value])}),o=d("output",{for:n}),a=[];return{node:d("div",{class:"rx-field"},d("label",{for:n},e),d("div",{class:"rx-pair"},t,o)),set(i,l){a=l,t.max=a.length-1,t.value=a.indexOf(i),C(o,String(i)),t.setAttribute("aria-valuetext",String(i))}}}var me=e=>e.map((r,n)=>[r,n?"number":""]),j=e=>e?`after ${J(e)} step${e>1?"s":""}`:"before training";function pe(e,r,n,t){let o=e.diverged.filter(l=>l!==null&&l<=n).length;if(o===t)return`${e.net} has diverged: its loss is no longer a number.`;let a=e.first[r]/e.last[r],i=e.first[r]?a>2?`${w(a)} times as large as`:a<.5?`${w(1/a)} times smaller than`:"about as large as":"0, beside";return`${e.net}: the first convolution's gradient is ${i} the last one's${o?` (${o} of ${t} runs have diverged)`:""}.`}function he(e,r,n){let{nets:t,steps:o,seeds:a,dataset:i,note:l}=e.get("data"),m=[...new Set(t.map(u=>u.depth))].sort((u,x)=>u-x),c=()=>t.filter(u=>u.batch_norm===e.get("batch_norm")&&u.depth===e.get("depth")&&["both",u.kind].includes(e.get("kind"))),s=()=>o.indexOf(e.get("step")),p=fe("Layers of the network",u=>n({depth:u})),h=[r("Network","kind",[["plain","plain"],["resnet","residual"],["both","both"]]),r("Batch normalisation","batch_norm",[[!0,"with"],[!1,"without"]]),r("Moment","step",o.map(u=>[u,j(u)]))],v=d("p",{class:"rx-story",role:"status"}),M=X("Gradients of the first and the last convolution"),S=Y("Norm of the gradient",(u,x)=>{let f=K(u,{width:x,right:Z(t),height:Math.round(Math.min(360,Math.max(250,x*.5))),x:{domain:[1,e.get("depth")-1],title:"convolution, counted from the image",whole:!0},y:{kind:"log",domain:B(c().flatMap(b=>b.norms.flat())),title:"norm of the gradient"}}),k=c().filter(b=>b.norms[s()].some($)),y=b=>$(b)?f.sy(b):null;f.layer.append(...k.map(b=>g("path",{d:I(b.norms[s()].map((T,oe)=>[f.sx(oe+1),y(T)])),...F(b)})),...c().filter(b=>!k.includes(b)).map((b,T)=>g("text",{x:f.right-8,y:f.top+20+18*T,"text-anchor":"end"},`${b.net} has diverged`)),g("g",{},Q(f,k,k.map(b=>y([...b.norms[s()]].reverse().find($))))))});return{stop:S.stop,node:d("div",{},d("div",{class:"rx-row rx-choices"},p.node,h.map(u=>u.node)),S.node,v,M.node,d("p",{class:"rx-hint"},l)),draw(){p.set(e.get("depth"),m);let u=c().map(f=>{let[k,y]=[f.first[s()],f.last[s()]];return k===null?[L(f),"diverged","–","–","–"]:[L(f),w(k),w(y),y?w(k/y):"–",w(f.loss[s()])]}),x=`${j(e.get("step"))}, on ${i}, median of ${a} seeds`;M.fill({caption:x,columns:me(["network","first convolution","last convolution","first / last","loss"]),rows:u}),C(v,c().map(f=>pe(f,s(),e.get("step"),a)).join(" ")),S.root.setAttribute("aria-label",`Norm of the gradient by convolution, ${j(e.get("step"))}. ${v.textContent}`),S.draw()}}}function ge({model:e,el:r}){te(r,"gradients",ne);let n=c=>ee(e,c),t=[],a=he(e,(c,s,p)=>{let h=G({label:c,options:p,value:e.get(s),onchange:v=>n({[s]:v})});return t.push(()=>h.set(e.get(s))),h},n);r.append(U("Gradient explorer",a.node));function i(){t.forEach(c=>c()),a.draw()}i();let l=V(i),m=[re(e,"depth kind batch_norm step",l),l.cancel,a.stop];return()=>m.forEach(c=>c())}var Le={render:ge};export{Le as default};
