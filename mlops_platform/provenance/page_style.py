"""The look of the page that explains an answer: in the page itself, for screens, phones and paper."""

STYLE = """
:root{--ink:#1d2433;--soft:#5b6577;--line:#d5dbe5;--pale:#f5f7fa;--card:#fff;--link:#1857a4;--good:#0b6b4f;
--bad:#a3202b;--warn:#8a5a00;--told:#2f6f9f;--who:#6a4a9c}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:1.2rem 1rem 3rem;color:var(--ink);
background:var(--pale)}
a{color:var(--link)}h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .6rem}
h3{font-size:1rem;margin:0 0 .2rem}p{margin:.25rem 0}code,.id{font:13px/1.45 ui-monospace,monospace;
overflow-wrap:anywhere}
.soft{color:var(--soft)}.big{font-size:2.6rem;font-weight:650;line-height:1.1;font-variant-numeric:tabular-nums}
.badge{display:inline-block;padding:.05rem .5rem;border-radius:1rem;font-size:.8rem;border:1px solid currentColor;
margin-right:.3rem;white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem;min-width:0}
.head{display:flex;flex-wrap:wrap;gap:.4rem 2rem;align-items:center}
.lane{display:flex;align-items:stretch;gap:0;margin:.4rem 0}
.lane>.step{flex:1 1 0;position:relative;padding-right:1.7rem}.lane>.step:last-child{padding-right:0}
.lane>.step:not(:last-child)::after{content:"\\2192";position:absolute;right:.35rem;top:50%;transform:translateY(-50%);
font-size:1.1rem;color:var(--soft)}
.step>a{display:block;height:100%;text-decoration:none;color:inherit;background:var(--card);
border:1px solid var(--line);border-top:4px solid var(--told);border-radius:8px;padding:.5rem .7rem}
.who .step>a{border-top-color:var(--who)}.step b{display:block;font-size:1.02rem;overflow-wrap:anywhere}
.step small{display:block;color:var(--soft);line-height:1.35;overflow-wrap:anywhere}
.step.end>a{background:var(--ink);color:#fff;border-color:var(--ink)}.step.end small{color:#cdd5e2}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:.8rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.2rem .7rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft)}td{font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--soft);margin-top:.4rem}ul,ol{margin:.3rem 0;padding-left:1.2rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.45 ui-monospace,monospace;margin:.3rem 0}
.note{border-left:4px solid var(--warn);padding:.4rem .8rem;background:var(--card);margin:.6rem 0}
@media(max-width:46rem){.lane{flex-direction:column}.lane>.step,.lane>.step:last-child{padding:0 0 1.5rem}
.lane>.step:last-child{padding-bottom:0}.lane>.step:not(:last-child)::after{content:"\\2193";right:auto;left:50%;
top:auto;bottom:.05rem;transform:translateX(-50%)}.grid{grid-template-columns:1fr}.big{font-size:2rem}}
@media(prefers-color-scheme:dark){:root{--ink:#dfe5ee;--soft:#9aa6b8;--line:#2c3441;--pale:#14181f;--card:#1b212b;
--link:#7db4f0;--good:#4fc79d;--bad:#f0808a;--warn:#e0b35a;--told:#5fa6d8;--who:#a98be0}
.step.end>a{background:#e8edf5;color:#14181f}.step.end small{color:#4a5568}}
@media print{body{background:#fff;max-width:none;font-size:11px}.card,.step{break-inside:avoid}
details::details-content{content-visibility:visible;height:auto}}
"""
