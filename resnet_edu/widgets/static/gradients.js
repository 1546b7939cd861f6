/* resnet_edu explorers, MIT licence; made by `make widgets` from sources 22a29e690a46b0b3f4b1c22776941925116e28741fd3b0d3884fbac114a4cc7c */
var S=e=>typeof e=="number"&&Number.isFinite(e);function A(e,[t,o],[r,n]){if(e==="log"){let a=A("linear",[Math.log10(t),Math.log10(o)],[r,n]);return i=>a(Math.log10(Math.max(i,t)))}return a=>r+(a-t)/(o-t||1)*(n-r)}function _(e,t,o=5){if(!(t>e))return[e];let r=(t-e)/o,n=10**Math.floor(Math.log10(r)+1e-9),a=n*[1,2,5,10].find(c=>c*n>=r*(1-1e-9)),i=[];for(let c=Math.ceil(e/a-1e-9);c*a<=t+a*1e-9;c++)i.push(Number((c*a).toPrecision(12)));return i}function q(e,t,o=6){let[r,n]=[Math.ceil(Math.log10(e)-1e-9),Math.floor(Math.log10(t)+1e-9)],a=Math.max(1,Math.ceil((n-r+1)/o)),i=[];for(let c=r-1;c<=n;c++)for(let g of n-r<2?[1,2,5]:[1]){let u=Number((g*10**c).toPrecision(6));u>=e*(1-1e-9)&&u<=t*(1+1e-9)&&(g>1||(c-r)%a===0)&&i.push(u)}return i}function H(e){let t=e.filter(r=>S(r)&&r>0).map(Math.log10);if(!t.length)return[.1,1];let o=Math.floor(Math.min(...t)+1e-9);return[10**o,10**Math.max(o+1,Math.ceil(Math.max(...t)-1e-9))]}var I=e=>Math.round(e*10)/10;function J(e){let t="M";return e.map(([o,r])=>{if(!S(r))return t="M","";let n=`${t}${I(o)} ${I(r)}`;return t="L",n}).join("")}function V(e,t,o,r){let n=e.map((u,s)=>s).sort((u,s)=>e[u]-e[s]);n.length>1&&(t=Math.min(t,(r-o)/(n.length-1)));let a=([u,s])=>Math.min(Math.max(u/s,o),r-(s-1)*t),i=[];for(let u of n)for(i.push([e[u],1]);i.length>1&&a(i.at(-2))+i.at(-2)[1]*t>a(i.at(-1));){let[s,l]=i.pop(),p=i.at(-1);p[0]+=s-l*p[1]*t,p[1]+=l}let c=i.flatMap(u=>Array.from({length:u[1]},(s,l)=>a(u)+l*t)),g=[];return n.forEach((u,s)=>g[u]=c[s]),g}function w(e,t=3){if(!S(e))return"no number";if(e!==0&&(Math.abs(e)<.001||Math.abs(e)>=1e6)){let o=Math.floor(Math.log10(Math.abs(e))),r=Number((e/10**o).toPrecision(t)),n=String(o).replace(/./g,a=>"⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(a)]);return`${r===1?"":`${r} · `}10${n}`}return Number(e.toPrecision(t)).toLocaleString("en-US",{maximumFractionDigits:6})}var C=e=>S(e)?`${e.toFixed(2)}%`:"no number";var U=`/* The explorers' style. Colours are variables, in light and in dark: they follow the book, JupyterLab, VS Code, or the
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
.rx-radio,.rx-check{display:inline-flex;align-items:center;gap:.35rem}
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
`;function L(e,t="",o=""){let r=e.getRootNode(),n=r instanceof ShadowRoot?r:document.head;for(let[a,i]of[["shared",U],[t,o]]){if(!i||n.querySelector(`style[data-rx="${a}"]`))continue;let c=document.createElement("style");c.dataset.rx=a,c.textContent=i,n.append(c)}}var xe="http://www.w3.org/2000/svg",pe=0,O=(e="x")=>`rx-${e}-${++pe}-${Math.random().toString(36).slice(2,7)}`;function G(e,t,o){for(let[r,n]of Object.entries(t??{}))n==null||n===!1||(r.startsWith("on")?e.addEventListener(r.slice(2),n):r==="value"||r==="checked"||r==="disabled"||r==="hidden"?e[r]=n:e.setAttribute(r,n===!0?"":n));return e.append(...o.flat(9).filter(r=>r!=null&&r!==!1)),e}var x=(e,t,...o)=>G(document.createElement(e),t,o),b=(e,t,...o)=>G(document.createElementNS(xe,e),t,o);function E(e,t){return e.textContent!==t&&(e.textContent=t),e}var T=e=>String(e).replace(/\B(?=(\d{3})+(?!\d))/g,",");function W(e){let t=0,o=()=>{t||(t=requestAnimationFrame(()=>{t=0,e()}))};return o.cancel=()=>{t&&cancelAnimationFrame(t),t=0},o}function K({label:e,options:t,value:o,onchange:r}){let n=O("r"),a=x("div",{class:"rx-radios"}),i=[],c=o;function g(u){i=u,a.replaceChildren(...u.map(([s,l,p])=>{let m=O("o"),$=x("input",{type:"radio",name:n,id:m,value:String(s),checked:s===c,disabled:!!p,onchange:()=>{c=s,r(s,!0)}});return x("span",{class:"rx-radio",title:p||null},$,x("label",{for:m},l,p&&x("span",{class:"rx-spoken"},` (${p})`)))}))}return g(t),{node:x("fieldset",{class:"rx-field"},x("legend",{},e),a),get value(){return c},set(u,s){c=u,s&&JSON.stringify(s)!==JSON.stringify(i)&&g(s);for(let l of a.querySelectorAll("input"))l.checked=l.value===String(u)}}}function Y({caption:e,columns:t,rows:o,foot:r=[]}){let n=i=>t[i][1]==="number"?"rx-num":null,a=i=>x("tr",{},i.map((c,g)=>g?x("td",{class:n(g)},c):x("th",{scope:"row"},c)));return x("div",{class:"rx-scroll",tabindex:"0",role:"region","aria-label":e},x("table",{class:"rx-table"},x("caption",{},e),x("thead",{},x("tr",{},t.map(([i],c)=>x("th",{scope:"col",class:n(c)},i)))),x("tbody",{},o.map(a)),r.length>0&&x("tfoot",{},r.map(a))))}var Z=(e,...t)=>x("div",{class:"rx",role:"group","aria-label":e,"data-lm-suppress-shortcuts":"true",onkeydown:o=>o.ctrlKey||o.metaKey||o.stopPropagation()},t);var Q=`.rx-holder{min-width:0;margin:.2rem 0 .4rem}
.rx svg.rx-chart{touch-action:pan-y;user-select:none}
.rx-chart text{font-size:12.5px}
.rx-grid{stroke:var(--rx-line)}
.rx-axes text{fill:var(--rx-muted)}
.rx-axes .rx-axis-title{fill:var(--rx-ink);font-weight:600}
.rx-axis{fill:none;stroke:var(--rx-strong-line)}
.rx-swatch{display:inline-block!important;vertical-align:middle;margin-right:.45rem;flex:none}
.rx-choices{align-items:start}
.rx-choices>.rx-field{margin-right:1rem}
.rx-choices .rx-pair{min-height:2rem}
.rx .rx-wrap th{white-space:normal}
@container (max-width:36rem){.rx-choices>.rx-field{width:100%}}
`;var z=7.2,fe=30,he=42;function X(e,{width:t,height:o,x:r,y:n,right:a=12}){let i=(f,h)=>(f.format??w)(h),c=(n.kind==="log"?q:_)(...n.domain),g=c.map(f=>n.zero&&f===n.domain[0]?"0":i(n,f)),s={left:Math.ceil(Math.max(...g.map(f=>f.length))*z)+12,right:t-a,top:fe,bottom:o-he},l=A("linear",r.domain,[s.left,s.right]),p=A(n.kind,n.domain,[s.bottom,s.top]),m=(f,h,k,M)=>b("text",{x:f,y:h,"text-anchor":M},k),$=Math.max(2,Math.floor((s.right-s.left)/(z*6))),y=_(...r.domain,Math.min(6,$)).filter(f=>!r.whole||Number.isInteger(f)),d=b("g");return e.replaceChildren(b("g",{class:"rx-axes","aria-hidden":"true"},c.map((f,h)=>[b("path",{class:"rx-grid",d:`M${s.left} ${p(f)}H${s.right}`}),m(s.left-7,p(f)+4,g[h],"end")]),y.map(f=>m(Math.min(l(f),t-i(r,f).length*z/2),s.bottom+18,i(r,f),"middle")),b("path",{class:"rx-axis",d:`M${s.left} ${s.top}V${s.bottom}H${s.right}`}),b("text",{x:0,y:14,class:"rx-axis-title"},n.title),m(Math.min(t,Math.max(s.right,r.title.length*z)),o-6,r.title,"end")),d),j(e,t,o),{sx:l,sy:p,layer:d,...s}}function j(e,t,o){for(let[r,n]of Object.entries({width:t,height:o,viewBox:`0 0 ${t} ${o}`}))e.setAttribute(r,n)}function F(e,t,o=""){let r=b("svg",{class:`rx-chart ${o}`,role:"img","aria-label":e}),n=x("div",{class:"rx-holder"},r),a=0,i=()=>{a=Math.floor(n.clientWidth),a>0&&t(r,a)},c=new ResizeObserver(()=>Math.floor(n.clientWidth)!==a&&i());return c.observe(n),{node:n,root:r,draw:i,stop:()=>c.disconnect()}}var P=({color:e,dash:t,width:o})=>({fill:"none",stroke:e,"stroke-width":o,"stroke-dasharray":t.map(r=>(r*o).toFixed(1)).join(" ")||null}),B=e=>[b("svg",{class:"rx-swatch",width:32,height:10,"aria-hidden":"true"},b("path",{d:"M1 5H31",...P(e)})),x("span",{},e.net)],ee=e=>22+7.4*Math.max(...e.map(t=>t.net.length));function te({right:e,top:t,bottom:o},r,n){let a=V(n,16,t+4,o);return r.map((i,c)=>[b("path",{d:`M${e} ${n[c]}L${e+9} ${a[c]}h5`,stroke:i.color,fill:"none"}),b("text",{x:e+18,y:a[c]+4},i.net)])}function D(e){let t=x("div",{class:"rx-scroll rx-wrap",tabindex:"0",role:"region","aria-label":e});return{node:t,fill:o=>t.replaceChildren(Y(o).firstChild)}}function re(e,t){for(let[o,r]of Object.entries(t))e.set(o,r);e.save_changes()}function ne(e,t,o){let r=t.split(" ").map(n=>`change:${n}`);return r.forEach(n=>e.on(n,o)),()=>r.forEach(n=>e.off(n,o))}function oe(e,t,o){L(e,"chart",Q),L(e,t,o)}var ae=`.rx-story{min-height:2.9em}
.rx-new{fill-opacity:.16}
.rx .rx-wrap tbody th{min-width:7.5rem}
`;function se(e,t){let o=O("l"),r=x("input",{class:"rx-range",type:"range",id:o,min:0,step:1,oninput:()=>t(a[r.value])}),n=x("output",{for:o}),a=[];return{node:x("div",{class:"rx-field"},x("label",{for:o},e),x("div",{class:"rx-pair"},r,n)),set(i,c){a=c,r.max=a.length-1,r.value=a.indexOf(i),E(n,String(i)),r.setAttribute("aria-valuetext",String(i))}}}var le=e=>e.map((t,o)=>[t,o?"number":""]),R=e=>e?`after ${T(e)} step${e>1?"s":""}`:"before training";function ge(e,t,o,r){let n=e.diverged.filter(c=>c!==null&&c<=o).length;if(n===r)return`${e.net} has diverged: its loss is no longer a number.`;let a=e.first[t]/e.last[t],i=e.first[t]?a>2?`${w(a)} times as large as`:a<.5?`${w(1/a)} times smaller than`:"about as large as":"0, beside";return`${e.net}: the first convolution's gradient is ${i} the last one's${n?` (${n} of ${r} runs have diverged)`:""}.`}function be(e,t,o){let{nets:r,steps:n,seeds:a,dataset:i,note:c}=e.get("data").gradients,g=[...new Set(r.map(d=>d.depth))].sort((d,f)=>d-f),u=()=>r.filter(d=>d.batch_norm===e.get("batch_norm")&&d.depth===e.get("depth")&&["both",d.kind].includes(e.get("kind"))),s=()=>n.indexOf(e.get("step")),l=se("Layers of the network",d=>o({depth:d})),p=[t("Network","kind",[["plain","plain"],["resnet","residual"],["both","both"]]),t("Batch normalisation","batch_norm",[[!0,"with"],[!1,"without"]]),t("Moment","step",n.map(d=>[d,R(d)]))],m=x("p",{class:"rx-story",role:"status"}),$=D("Gradients of the first and the last convolution"),y=F("Norm of the gradient",(d,f)=>{let h=X(d,{width:f,right:ee(r),height:Math.round(Math.min(360,Math.max(250,f*.5))),x:{domain:[1,e.get("depth")-1],title:"convolution, counted from the image",whole:!0},y:{kind:"log",domain:H(u().flatMap(v=>v.norms.flat())),title:"norm of the gradient"}}),k=u().filter(v=>v.norms[s()].some(S)),M=v=>S(v)?h.sy(v):null;h.layer.append(...k.map(v=>b("path",{d:J(v.norms[s()].map((N,ce)=>[h.sx(ce+1),M(N)])),...P(v)})),...u().filter(v=>!k.includes(v)).map((v,N)=>b("text",{x:h.right-8,y:h.top+20+18*N,"text-anchor":"end"},`${v.net} has diverged`)),b("g",{},te(h,k,k.map(v=>M([...v.norms[s()]].reverse().find(S))))))});return{parts:[y],node:x("div",{},x("div",{class:"rx-row rx-choices"},l.node,p.map(d=>d.node)),y.node,m,$.node,x("p",{class:"rx-hint"},c)),draw(){l.set(e.get("depth"),g);let d=u().map(h=>{let[k,M]=[h.first[s()],h.last[s()]];return k===null?[B(h),"diverged","–","–","–"]:[B(h),w(k),w(M),M?w(k/M):"–",w(h.loss[s()])]}),f=`${R(e.get("step"))}, on ${i}, median of ${a} seeds`;$.fill({caption:f,columns:le(["network","first convolution","last convolution","first / last","loss"]),rows:d}),E(m,u().map(h=>ge(h,s(),e.get("step"),a)).join(" ")),y.root.setAttribute("aria-label",`Norm of the gradient by convolution, ${R(e.get("step"))}. ${m.textContent}`)}}}function ve(e,t){if(e.change===0)return"not one output has changed";let o=S(e.train_loss)?Math.abs(e.train_loss-t.points[0].train_loss):null;return`no output has changed by more than ${w(e.change,2)} (the largest is ${w(t.logit,2)}), the training loss by ${w(o,2)}`}var ie=[["layers",e=>T(e.depth)],["training loss",e=>w(e.train_loss,4)],["training error",e=>C(e.train_error)],["test error",e=>C(e.test_error)],["parameters",e=>T(e.parameters)]];function ke(e,t,o){let r=e.get("data").identity,n=()=>r.find(l=>l.net===e.get("net")),a=()=>n().points.find(l=>l.added===e.get("added"))??n().points[0],i=t("Trained network","net",r.map(l=>[l.net,l.net]),{added:0}),c=se("Identity blocks added to each stage",l=>o({added:l})),g=x("p",{class:"rx-story",role:"status"}),u=D("The network before and after"),s=F("The blocks of the network",(l,p)=>{let{blocks:m,points:$,color:y}=n(),[d,f,h]=[m/3,a().added,10],k=Math.min(30,(p-2*h)/(3*(d+Math.max(...$.map(M=>M.added)))));l.replaceChildren(...[0,1,2].flatMap(M=>Array.from({length:d+f},(v,N)=>b("rect",{x:M*((d+f)*k+h)+N*k+1.5,y:6,width:Math.max(2,k-3),height:34,rx:2,class:N<d?null:"rx-new",fill:y,stroke:y})))),j(l,p,46)});return{parts:[s],node:x("div",{},x("div",{class:"rx-row rx-choices"},i.node,c.node),s.node,g,u.node),draw(){let[l,p]=[n(),a()];c.set(p.added,l.points.map(d=>d.added));let m=p.added?l.trained.find(d=>d.depth===p.depth):null,$=[[`${l.net}, trained`,l.points[0]],p.added&&["with identity blocks",p],m&&[`${m.net}, trained from scratch${m.runs>1?` (mean of ${m.runs})`:""}`,m]].filter(Boolean).map(([d,f])=>[d,...ie.map(([,h])=>h(f))]);u.fill({caption:`On ${l.dataset}, in evaluation mode`,columns:le(["network",...ie.map(([d])=>d)]),rows:$});let y=m?` So a network of ${p.depth} layers with this training loss exists. Training ${m.net} from scratch ended at ${w(m.train_loss,2)}.`:"";E(g,p.added?`${p.depth} layers, and ${ve(p,l)}.${y}`:"Move the slider: each stage gets blocks that pass on exactly what they are given."),s.root.setAttribute("aria-label",`${l.blocks} trained blocks in three stages, and ${p.added} at the end of each that do nothing`)}}}function we({model:e,el:t}){oe(t,"gradients",ae);let o=l=>re(e,l),r=[],n=(l,p,m,$={})=>{let y=K({label:l,options:m,value:e.get(p),onchange:d=>o({...$,[p]:d})});return r.push(()=>y.set(e.get(p))),y},a=n("Look at","view",[["gradients","the gradient at each layer"],["identity","blocks that do nothing"]]),i={gradients:be(e,n,o),identity:ke(e,n,o)},c=Object.values(i).flatMap(l=>l.parts);t.append(Z("Gradient explorer",a.node,i.gradients.node,i.identity.node));function g(){r.forEach(l=>l());for(let[l,p]of Object.entries(i))p.node.hidden=l!==e.get("view"),p.draw();c.forEach(l=>l.draw())}g();let u=W(g),s=[ne(e,"view depth kind batch_norm step net added",u),u.cancel,...c.map(l=>l.stop)];return()=>s.forEach(l=>l())}var Be={render:we};export{Be as default};
