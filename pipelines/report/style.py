"""The look of a report: a highlighter on paper, by day and by night."""

STYLE = """
:root {
  --paper: #fdfcf9; --card: #ffffff; --ink: #1f2328; --soft: #5c6370; --rule: #e2dfd7; --marker: 255 199 44;
  --first: #0072b2; --second: #c8510b; --third: #00805c; --fourth: #a04a7f;
  --track: #eeebe3; --focus: #0072b2; --strength: 1; color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --card: #1c1f23; --ink: #e8e6e1; --soft: #a0a6b0; --rule: #33373d; --marker: 240 180 41;
    --first: #56b4e9; --second: #f08a4b; --third: #3ecf9c; --fourth: #e08fc0;
    --track: #2b2f35; --focus: #56b4e9; --strength: .52;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 3rem) 5rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.5rem); margin: 0 0 .75rem; letter-spacing: -.02em; }
h2 { font-size: 1.4rem; margin: 3.5rem 0 1rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { max-width: 46rem; }
small { display: block; font-size: .8125rem; font-weight: 400; color: var(--soft); }
a { color: inherit; }
bdi, code, td, dd { unicode-bidi: isolate; }
code, .token { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace; }
code { font-size: .875em; white-space: pre-wrap; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
.unseen {
  position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .25rem .75rem; }
.empty, .aside, .legend, figcaption { color: var(--soft); }
.aside { font-weight: 400; }

.brand { margin: 0 0 1rem; font-weight: 700; font-size: .875rem; }
.brand { display: inline-block; padding: 0 .35rem; background: rgb(var(--marker) / .55); }
.lead { font-size: 1.125rem; margin: 0 0 1.5rem; }
.lead em { font-style: normal; font-weight: 650; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; }
nav {
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1.75rem 0; padding: .75rem 0;
  border-block: 1px solid var(--rule); font-size: .9375rem;
}
nav a { text-decoration-color: var(--rule); text-underline-offset: .25em; padding: .125rem 0; }
nav a:hover { text-decoration-color: currentColor; }

.tiles { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .75rem; margin: 0; }
.tiles div {
  display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: .875rem 1rem;
  background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
}
.tiles dt { font-size: .875rem; line-height: 1.35; color: var(--soft); }
.tiles dd { margin: 0; font-size: 1.625rem; line-height: 1.3; font-weight: 650; letter-spacing: -.01em; }
.tiles dd small { display: inline; margin-left: .5rem; letter-spacing: 0; white-space: nowrap; }

.legend { font-size: .9375rem; max-width: 52rem; }
article {
  margin: 1rem 0; padding: 1.25rem clamp(1rem, 2.5vw, 1.75rem) 1rem; background: var(--card);
  border: 1px solid var(--rule); border-radius: 8px;
}
.text { margin: 0 0 1rem; max-width: 52rem; white-space: pre-wrap; line-height: 1.75; }
.badge {
  margin-left: .75rem; padding: .05rem .5rem; border: 1px solid currentColor; border-radius: 1rem;
  font-size: .75rem; font-weight: 500; color: var(--soft);
}
mark {
  color: var(--ink); padding: .1em 0; border-radius: 2px; border-bottom: 2px solid rgb(var(--marker));
  background: rgb(var(--marker) / calc(var(--shade) * var(--strength)));
}
mark::after {
  content: attr(data-rank); font-size: .65em; line-height: 0; vertical-align: super; padding: 0 .1em;
  font-weight: 400; opacity: .8;
}
.shade0 { --shade: .75; font-weight: 600; } .shade1 { --shade: .6; } .shade2 { --shade: .48; }
.shade3 { --shade: .38; } .shade4 { --shade: .29; } .shade5 { --shade: .21; } .shade6 { --shade: .14; }
.shade7 { --shade: .07; border-bottom: 1px dashed rgb(var(--marker)); }
.beyond { color: var(--soft); text-decoration: underline dotted; text-underline-offset: .25em; }
.tokens {
  margin: 0; padding: .75rem 0 0; border-top: 1px solid var(--rule); list-style: none; columns: 17rem;
  column-gap: 2.5rem; font-size: .9375rem;
}
.tokens li {
  display: grid; grid-template-columns: 1.5rem 1.25rem minmax(8rem, 1fr) minmax(2.5rem, 5rem) 3.25rem;
  align-items: center; gap: .25rem; break-inside: avoid; line-height: 1.7;
}
.hubs { padding-top: 0; border-top: 0; }
.hubs li { grid-template-columns: 1.5rem minmax(8rem, 1fr) minmax(2.5rem, 7rem) 3.25rem; column-gap: .5rem; }
.rank, .weight { color: var(--soft); font-size: .8125rem; text-align: right; }
.rank { padding-right: .375rem; }
.dot { line-height: 1; }
.token { font-size: .9375em; justify-self: start; }
.own .token { font-weight: 650; }
.affix { color: var(--soft); font-weight: 400; }
.bar-track { display: block; height: .5rem; background: var(--track); border-radius: 2px; overflow: hidden; }
.bar-track span { display: block; height: 100%; background: rgb(var(--marker)); }

.scroll { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; font-size: .9375rem; overflow-wrap: break-word; }
th, td { padding: .375rem 1.5rem .375rem 0; text-align: left; vertical-align: top; font-weight: 400; }
thead th { color: var(--soft); font-size: .8125rem; vertical-align: bottom; }
tbody tr { border-top: 1px solid var(--rule); }
tbody th { min-width: 9rem; }
#dead-letters td { min-width: 4rem; }
#dead-letters td:nth-child(5), #dead-letters td:nth-child(6) { min-width: 14rem; }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.25rem; }
figure {
  margin: 0; padding: 1.25rem 1.25rem .75rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; min-width: 0;
}
figcaption { font-size: .875rem; line-height: 1.5; margin: .5rem 0; }
summary { cursor: pointer; font-size: .875rem; padding: .25rem 0; width: max-content; }
details .scroll { max-height: 18rem; overflow: auto; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-family: inherit; }
.downloads { margin: 0; font-size: .8125rem; display: flex; gap: .75rem; }
.downloads a { color: var(--soft); text-underline-offset: .2em; }
.downloads::before { content: "Numbers as"; color: var(--soft); }

.findings { list-style: none; margin: 0; padding: 0; display: grid; gap: .75rem; max-width: 52rem; }
.findings li { padding: .75rem 1rem; border-left: 4px solid rgb(var(--marker)); background: var(--card); }

#controls { display: flex; flex-wrap: wrap; gap: .75rem 1.25rem; align-items: end; margin: 1rem 0; }
#controls[hidden], #more[hidden], article[hidden] { display: none; }
#controls label { display: grid; gap: .25rem; font-size: .875rem; color: var(--soft); }
#controls label:first-child { flex: 1 1 18rem; }
#controls input, #controls select {
  font: inherit; font-size: 1rem; color: var(--ink); background: var(--card); border: 1px solid var(--soft);
  border-radius: 6px; padding: .5rem .75rem; width: 100%; min-height: 2.75rem;
}
#found { margin: 0; flex-basis: 100%; font-size: .875rem; color: var(--soft); min-height: 1.4em; }
#more {
  font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--soft); border-radius: 6px;
  padding: .6rem 1.5rem; min-height: 2.75rem; cursor: pointer;
}
html:not(.scripted) .beyond-first { display: none; }
.print-note { display: none; }
.chips { list-style: none; display: flex; flex-wrap: wrap; gap: .375rem; margin: 0; padding: 0; }
.chip {
  display: inline-flex; align-items: baseline; gap: .35rem; padding: .05rem .5rem; font-size: .875rem;
  border: 1px solid var(--rule); border-radius: 1rem;
}
.chip.own { background: rgb(var(--marker) / calc(.42 * var(--strength))); border-color: rgb(var(--marker)); }
.chip small { display: inline; font-size: .75rem; }
.whose { margin: .75rem 0 .25rem; font-size: .8125rem; color: var(--soft); }
.beside > h3 { font-size: 1.125rem; margin: 2rem 0 .75rem; }
.texts article { padding-bottom: 1rem; }
.moves { list-style: none; margin: 0; padding: 0; }

.tree { margin: 0; }
dl.tree { display: grid; grid-template-columns: max-content minmax(0, 1fr); font-size: .9375rem; }
dl.tree > dt, dl.tree > dd { padding: .3rem 0; border-top: 1px solid var(--rule); }
dl.tree > dt { color: var(--soft); padding-right: 1.5rem; }
dl.tree > dd { margin: 0; }
dl.tree dl.tree > :is(dt, dd):nth-child(-n + 2) { border-top: 0; padding-top: 0; }
ul.tree { list-style: none; padding: 0; }
ul.tree > li + li { margin-top: .75rem; }

@media (max-width: 40rem) {
  body { padding-top: 1.5rem; }
  .facts, dl.tree { grid-template-columns: minmax(0, 1fr); }
  .facts dt { margin-top: .5rem; }
  dl.tree > dd { border-top: 0; padding-top: 0; }
  dl.tree dl.tree { padding-left: 1rem; border-left: 2px solid var(--rule); }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  figure { padding-inline: .5rem; }
  .chart text { font-size: 12px !important; }
  th, td { padding-right: 1rem; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #ccc; --marker: 255 199 44; }
  :root { --first: #0072b2; --second: #c8510b; --third: #00805c; --fourth: #a04a7f;
    --track: #eee; --strength: 1; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .skip, details, #controls, #more, .downloads { display: none; }
  .beyond-first, html.scripted .beyond-first { display: none; }
  .print-note { display: block; }
  main { margin-top: 1.5rem; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  figure, .tiles div, .tokens, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  mark, .bar-track, .brand { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .scroll { overflow: visible; }
}
"""
