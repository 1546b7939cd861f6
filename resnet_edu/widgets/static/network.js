/* resnet_edu explorers, MIT licence; made by `make widgets` from sources 7acc6716fc40c80a3cf6696cd0ef953dab94f9c12a75e4147aaf1fca7f85807c */
function j(a,e,t){for(let[r,o]of Object.entries(e??{}))o==null||o===!1||(r.startsWith("on")?a.addEventListener(r.slice(2),o):r==="value"||r==="checked"||r==="disabled"||r==="hidden"?a[r]=o:a.setAttribute(r,o===!0?"":o));return a.append(...t.flat(9).filter(r=>r!=null&&r!==!1)),a}var v=(a,e,...t)=>j(document.createElement(a),e,t);var S=(a,...e)=>v("div",{class:"rx",role:"group","aria-label":a},e);var z=`color-scheme:light;--rx-paper:#fff;--rx-ink:#1c2127;--rx-muted:#56606b;--rx-line:#d3d8de;
--rx-strong-line:#7b8794;--rx-soft:#f4f6f8;--rx-accent:#1f6aa5;--rx-accent-soft:#e3eff9;--rx-add:#b4491a;
--rx-add-soft:#fdf1ea;--rx-good:#2f6f44;--rx-good-soft:#e8f4ec;--rx-bad:#b3261e;--rx-bad-soft:#fdecea;
--rx-on-accent:#fff;--rx-slab:#cfe0ef;--rx-slab-top:#e4eef7;--rx-slab-side:#aecbe3`,_=`color-scheme:dark;--rx-paper:#14181e;--rx-ink:#e2e7ec;--rx-muted:#a5b0bb;--rx-line:#3a434d;
--rx-strong-line:#7d8994;--rx-soft:#1e242b;--rx-accent:#79b8ec;--rx-accent-soft:#1d3347;--rx-add:#f2a27a;
--rx-add-soft:#35261f;--rx-good:#86cfa0;--rx-good-soft:#1d3226;--rx-bad:#ff9d94;--rx-bad-soft:#3d1f1d;
--rx-on-accent:#10151a;--rx-slab:#34516b;--rx-slab-top:#45688a;--rx-slab-side:#263d52`,N=`
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
@media print{.rx-controls,.rx-player{display:none}}`,M=`.rx{${z}}
@media (prefers-color-scheme:dark){.rx{${_}}}
:is(html[data-theme=light],body[data-jp-theme-light=true],.vscode-light) .rx{${z}}
:is(html[data-theme=dark],body[data-jp-theme-light=false],.vscode-dark,html[theme=dark]) .rx{${_}}
${N}`.replace(/\n/g,"");function A(a,e="",t=""){let r=a.getRootNode(),o=r instanceof ShadowRoot?r:document.head;for(let[n,l]of[["shared",M],[e,t]]){if(!l||o.querySelector(`style[data-rx="${n}"]`))continue;let i=document.createElement("style");i.dataset.rx=n,i.textContent=l,o.append(i)}}var O={18:[2,2,2,2],34:[3,4,6,3],50:[3,4,6,3],101:[3,4,23,3],152:[3,8,36,3]},H={imagenet:[18,34,50,101,152],cifar:Array.from({length:18},(a,e)=>8+6*e)};var B=({family:a,depth:e})=>a==="imagenet"&&e>=50,x=a=>a.join("x")||"scalar",E=a=>`(${a.join(", ")}${a.length===1?",":""})`,w=a=>a.reduce((e,t)=>e*t,1),$=(a,e,t=1,r=0,o=1)=>Math.floor((a+2*r-o*(e-1)-1)/t)+1,f=class extends Error{constructor(e,t,r,o,n,l="",i=""){super(t),Object.assign(this,{type:e,path:r,kind:o,shapes:n,advice:l,tooSmall:i})}};function P(a,e){let t=[2,3].map(n=>Math.ceil(e[n]/a[n])),r=t[0];return t[1]!==r||[2,3].some(n=>Math.ceil(e[n]/r)!==a[n])?"no shortcut reaches that height and width; check stride and padding of the main path":`shortcut='projection' (option B)${a[1]>=e[1]?" or shortcut='zero_pad' (option A)":""} with stride ${r} would fit`}var y=class{constructor(e){this.config=e,this.rows=[],this.calls=new Map,this.params=this.macs=0}row(e,t,r,o,n,l={}){let i=this.calls.get(e)??0;this.calls.set(e,i+1);let{params:c=0,macs:u=0}=l;this.params+=c,this.macs+=u;let s=this.rows.length;return this.rows.push({index:s,path:e,call:i,kind:t,inputs:r.map(d=>d.shape),outputs:[o],sources:r.map(d=>d.row),kernel:null,stride:null,padding:null,dilation:null,groups:null,bias:null,params:c,macs:u,activation_bytes:4*w(o),receptive_field:n?.size??null,reused:!1,main:null,shortcut:null,shortcut_kind:null,on_shortcut:!1,note:"",...l,cumulative_params:this.params,cumulative_macs:this.macs}),{shape:o,field:n,row:s}}window(e,t,r,o,n,l,i,c){let[u,,s,d]=e.shape,p=[u,o,$(s,n,l,i),$(d,n,l,i)],{size:g,jump:h}=e.field,b={size:g+(n-1)*h,jump:h*l},m=k=>[k,k];return this.row(t,r,[e],p,b,{kernel:m(n),stride:m(l),padding:m(i),dilation:m(1),...c(p)})}conv(e,t,r,o,n=1,l=(o-1)/2){let i=r*e.shape[1]*o*o;return this.window(e,t,"Conv2d",r,o,n,l,([c,,u,s])=>({groups:1,bias:!1,params:i,macs:c*u*s*i}))}norm(e,t){let[r,o,...n]=e.shape;if(this.config.mode==="train"&&r*w(n)===1){let i=`Expected more than 1 value per channel when training, got input size ${`torch.Size([${e.shape.join(", ")}])`}`;throw new f("ValueError",i,t,"BatchNorm2d",[e.shape])}return this.row(t,"BatchNorm2d",[e],e.shape,e.field,{params:2*o})}relu(e,t){return this.row(t,"ReLU",[e],e.shape,e.field)}maxPool(e,t){return this.window(e,t,"MaxPool2d",e.shape[1],3,2,1,()=>({}))}shortcut(e,t,r,o){let n=this.config.shortcut,l=o===1&&e.shape[1]===r;if(n==="identity"||l&&n!=="projection_all")return e;if(n==="zero_pad"){let[u,,s,d]=e.shape,p=[u,r,Math.ceil(s/o),Math.ceil(d/o)],g={size:e.field.size,jump:e.field.jump*o},h=this.row(`${t}.downsample`,"zero_pad",[e],p,g);return{...h,made:[h.row]}}let i=this.conv(e,`${t}.downsample.0`,r,1,o),c=this.norm(i,`${t}.downsample.1`);return{...c,made:[i.row,c.row]}}add(e,t,r,o,n){if(x(e.shape)!==x(t.shape)){let u=`cannot add ${`the main path ${E(e.shape)} and the shortcut ${E(t.shape)}`}: ${P(e.shape,t.shape)}`;throw new f("ShapeMismatchError",u,r,o,[n.shape])}for(let c of t.made??[])this.rows[c].on_shortcut=!0;let l=this.config.shortcut.startsWith("projection"),i=t===n?"identity":l?"projection":"zero_pad";return this.row(`${r}.add()`,"add",[e,t],e.shape,e.field,{main:e.row,shortcut:t.row,shortcut_kind:i})}block(e,t,r,o){let{residual:n,stride_on:l}=this.config,i=B(this.config),c=n?this.shortcut(e,t,i?4*r:r,o):null,u=i&&l==="3x3"?1:o,s=this.norm(this.conv(e,`${t}.conv1`,r,i?1:3,u),`${t}.bn1`);return s=this.conv(this.relu(s,`${t}.relu`),`${t}.conv2`,r,3,i?o/u:1),s=this.norm(s,`${t}.bn2`),i&&(s=this.conv(this.relu(s,`${t}.relu`),`${t}.conv3`,4*r,1),s=this.norm(s,`${t}.bn3`)),n&&(s=this.add(s,c,t,i?"Bottleneck":"BasicBlock",e)),this.relu(s,`${t}.relu`)}head(e){let{pool:t,num_classes:r}=this.config,[o,n,...l]=e.shape,i;if(t){let s=l.map(d=>$(d,t));if(Math.min(...s)<1){let d=h=>`(${x([n,...h])})`,p=`Given input size: ${d(l)}. Calculated output size: ${d(s)}. Output size is too small`,g=`less than its kernel of ${t}x${t} (padding 0x0)`;throw new f("RuntimeError",p,"avgpool","AvgPool2d",[e.shape],"",g)}i=this.window(e,"avgpool","AvgPool2d",n,t,1,0,()=>({}))}else i=this.row("avgpool","AdaptiveAvgPool2d",[e],[o,n,1,1],null);let c=w(i.shape)/o;if(i=this.row("flatten()","flatten",[i],[o,c],null,{activation_bytes:0}),c!==n){let d=`mat1 and mat2 shapes cannot be multiplied ${`(${o}x${c} and ${n}x${r})`}`,p=` (the layer takes ${n} values, not ${c}: its input follows the image size)`;throw new f("RuntimeError",d,"fc","Linear",[i.shape],p)}let u=n*r;this.row("fc","Linear",[i],[o,r],null,{bias:!0,params:u+r,macs:o*u})}};function L(a,e,t,r,o){let n=a.rows.at(-1).outputs[0];return{name:e,stage:t,first:r,last:a.rows.length-1,shape:n,isBlock:o}}function C(a){let e=new y(a),t=[a.batch,...a.input],r=[],o=null,n="conv1",l="conv1",i=0,c=s=>{e.rows.length>i&&r.push(L(e,n,l,i,s)),i=e.rows.length};try{let s={shape:t,field:{size:1,jump:1},row:"input"},d=a.stem==="imagenet";s=e.relu(e.norm(e.conv(s,"conv1",a.width,d?7:3,d?2:1),"bn1"),"relu"),c(!1),d&&(n="maxpool",l="conv2_x",s=e.maxPool(s,"maxpool"),c(!1));let p=(a.depth-2)/6;(a.family==="imagenet"?O[a.depth]:[p,p,p]).forEach((h,b)=>{l=`conv${b+2}_x`;for(let m=0;m<h;m++)n=`layer${b+1}.${m}`,s=e.block(s,n,a.width*2**b,b>0&&m===0?2:1),c(!0)}),n=l="head",e.head(s),c(!1)}catch(s){if(!(s instanceof f))throw s;let d=/^layer/.test(n);c(d),o=R(s,t,n)}let u=e.rows.reduce((s,d)=>s+d.activation_bytes,0);return{model:"ResNet",input:t,rows:e.rows,parts:r,params:e.params,macs:e.macs,bytes:u,error:o}}function R(a,e,t){let{path:r,kind:o,shapes:n,type:l,advice:i,tooSmall:c,message:u}=a,s=`${r} (${o})`,d=c?`input ${x(e.slice(1))} is too small: ${s} got ${x(n[0].slice(1))}, ${c}; use a larger input`:`ResNet fails for input ${x(e)} in ${s}, which got ${x(n[0])}: ${u}${i}`;return{path:r,kind:o,shapes:n,type:l,text:u,message:d,part:t}}function T({model:a,el:e}){A(e);let t=v("p",{}),r=()=>{t.textContent=`depth ${a.get("depth")}`};return e.append(S("Network explorer",t)),a.on("change:depth",r),r(),()=>a.off("change:depth",r)}var q={render:T};export{q as default,C as runNet};
