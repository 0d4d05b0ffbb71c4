"""Pictures as a page: to move in with pointer and keys, to search, to print; needs nothing else."""

from stackdsl.model import graphs
from stackdsl.views.drawing import palettes, svg

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<label>Find <input id="find" type="search" autocomplete="off" spellcheck="false"></label>
<button id="in" type="button" title="Larger (+)" aria-label="Larger">+</button>
<button id="out" type="button" title="Smaller (-)" aria-label="Smaller">&minus;</button>
<button id="fit" type="button" title="All of it (0)">Fit</button>
<button id="print" type="button" title="Print">Print</button>
<p id="told" role="status" aria-live="polite"></p>
</header>
<main id="stage" tabindex="0" aria-label="The graph. Arrow keys move it, plus and minus resize it,
0 shows all of it; Tab goes from box to box.">
{picture}
</main>
<script>{script}</script>
</body>
</html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
html,body{height:100%;margin:0}
body{display:flex;flex-direction:column;background:#fff;color:#1b2430;font:13px FONT}
header{display:flex;gap:8px;align-items:center;padding:8px 14px;border-bottom:1px solid #d3dae3}
header p{margin:0 0 0 8px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;color:#5c6878}
button,input{font:inherit;color:inherit;background:transparent;border:1px solid #b9c2ce;
border-radius:6px;padding:4px 10px}
button:hover{border-color:#3b6fd4}
:focus-visible{outline:2px solid #3b6fd4;outline-offset:1px}
main{flex:1;overflow:hidden;cursor:grab;touch-action:none;position:relative}
main.held{cursor:grabbing}
main svg{position:absolute;transform-origin:0 0}
.node{cursor:pointer;outline:none}
main svg .node:focus .box,main svg .node.found .box{stroke-width:3}
svg.pointed .node:not(.near),svg.pointed .lines,svg.pointed .label{opacity:.18}
svg.pointed .label.near{opacity:1}
main svg .edge.near{stroke-width:2.4}
@media screen and (prefers-color-scheme:dark){
body{background:#0f141b;color:#e8edf4}header{border-color:#2f3947}header p{color:#a3afbf}
button,input{border-color:#414d5d}}
@media print{header{display:none}body{display:block}html,body{height:auto}
main{overflow:visible}main svg{position:static;transform:none!important;width:100%;height:auto}
@page{size:landscape;margin:10mm}}
"""
# The page's only state: scale and offset of the picture, and what is pointed at.
_SCRIPT = """
'use strict';
const stage = document.getElementById('stage'), svg = stage.querySelector('svg');
const told = document.getElementById('told');
const size = svg.viewBox.baseVal;
let scale = 1, left = 0, top_ = 0;
const show = () => {
  svg.style.transform = `translate(${left}px,${top_}px) scale(${scale})`;
};
const fit = () => {
  scale = Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height, 1.5);
  // what would be too small to make out begins at its first box
  scale = Math.max(scale, Math.min(0.4, stage.clientHeight / size.height));
  left = Math.max(0, (stage.clientWidth - size.width * scale) / 2);
  top_ = (stage.clientHeight - size.height * scale) / 2;
  show();
};
const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
  const next = Math.min(8, Math.max(0.05, scale * factor));
  left = x - (x - left) * next / scale;
  top_ = y - (y - top_) * next / scale;
  scale = next;
  show();
};
const nodes = [...svg.querySelectorAll('.node')], edges = [...svg.querySelectorAll('.edge')];
const labels = [...svg.querySelectorAll('.label')];
const say = element => {
  told.textContent = element.querySelector('title').textContent.split('\\n').join(' · ');
};
const clear = () => {
  svg.classList.remove('pointed');
  for (const one of svg.querySelectorAll('.near')) one.classList.remove('near');
};
const point = (own, names, lines) => {
  clear();
  svg.classList.add('pointed');
  say(own);
  const targets = new Set(lines.map(line => line.dataset.to));
  for (const line of lines) line.classList.add('near');
  for (const node of nodes) node.classList.toggle('near', names.has(node.dataset.id));
  for (const one of labels) one.classList.toggle('near', targets.has(one.dataset.to));
};
const pointNode = node => {
  const id = node.dataset.id;
  const lines = edges.filter(edge => edge.dataset.from === id || edge.dataset.to === id);
  point(node, new Set([id, ...lines.flatMap(one => [one.dataset.from, one.dataset.to])]), lines);
};
const bringIn = node => {
  const box = node.getBoundingClientRect(), view = stage.getBoundingClientRect();
  if (box.left < view.left || box.right > view.right) {
    left += view.left + view.width / 2 - (box.left + box.width / 2);
  }
  if (box.top < view.top || box.bottom > view.bottom) {
    top_ += view.top + view.height / 2 - (box.top + box.height / 2);
  }
  stage.scrollTo(0, 0);
  show();
};
for (const node of nodes) {
  node.setAttribute('tabindex', '0');
  node.setAttribute('role', 'img');
  node.setAttribute('aria-label', node.querySelector('title').textContent);
  node.addEventListener('pointerenter', () => pointNode(node));
  node.addEventListener('pointerleave', clear);
  node.addEventListener('focus', () => { pointNode(node); bringIn(node); });
  node.addEventListener('blur', clear);
}
for (const edge of edges) {
  const ends = new Set([edge.dataset.from, edge.dataset.to]);
  edge.addEventListener('pointerenter', () => point(edge, ends, [edge]));
  edge.addEventListener('pointerleave', clear);
}
const held = new Map();
stage.addEventListener('pointerdown', event => {
  held.set(event.pointerId, event);
  stage.classList.add('held');
});
addEventListener('pointermove', event => {
  const before = held.get(event.pointerId);
  if (!before) return;
  if (held.size === 2) {
    const other = [...held.values()].find(one => one.pointerId !== event.pointerId);
    const reach = one => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const view = stage.getBoundingClientRect();
    zoom(reach(event) / Math.max(1, reach(before)), (event.clientX + other.clientX) / 2 - view.left,
      (event.clientY + other.clientY) / 2 - view.top);
  } else {
    left += event.clientX - before.clientX;
    top_ += event.clientY - before.clientY;
    show();
  }
  held.set(event.pointerId, event);
});
for (const kind of ['pointerup', 'pointercancel']) {
  addEventListener(kind, event => {
    held.delete(event.pointerId);
    if (held.size === 0) stage.classList.remove('held');
  });
}
stage.addEventListener('wheel', event => {
  event.preventDefault();
  const view = stage.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - view.left, event.clientY - view.top);
}, { passive: false });
const keys = {
  '+': () => zoom(1.25), '=': () => zoom(1.25), '-': () => zoom(0.8), '0': fit,
  ArrowLeft: () => { left += 60; show(); }, ArrowRight: () => { left -= 60; show(); },
  ArrowUp: () => { top_ += 60; show(); }, ArrowDown: () => { top_ -= 60; show(); },
  Escape: () => { clear(); stage.focus(); },
};
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === 'INPUT' || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});
const field = document.getElementById('find');
field.addEventListener('input', () => {
  const word = field.value.trim().toLowerCase();
  const found = nodes.filter(node => {
    const is = word !== '' && node.dataset.id.toLowerCase().includes(word);
    node.classList.toggle('found', is);
    return is;
  });
  told.textContent = word === '' ? '' : `${found.length} found`;
  if (found.length) bringIn(found[0]);
});
field.addEventListener('keydown', event => {
  const first = nodes.find(node => node.classList.contains('found'));
  if (event.key === 'Enter' && first) first.focus();
});
document.getElementById('in').addEventListener('click', () => zoom(1.25));
document.getElementById('out').addEventListener('click', () => zoom(0.8));
document.getElementById('fit').addEventListener('click', fit);
document.getElementById('print').addEventListener('click', () => print());
addEventListener('resize', fit);
fit();
"""


def draw(view: graphs.GraphView) -> str:
    """Return a graph as an HTML document; names and all other texts may hold any character."""
    picture = svg.draw(view).replace(' role="img"', ' role="group"', 1)
    return _PAGE.format(
        policy=_POLICY,
        title=svg.escape(view.name),
        style=_STYLE.replace("FONT", palettes.FONT) + _color_edges(),
        picture=picture,
        script=_SCRIPT,
    )


def _color_edges() -> str:
    """Return the rules that show a line which is pointed at, above the picture's own."""
    light, dark = (
        "".join(
            f"main svg .edge.near.{kind}{{stroke:{line[shade]}}}"
            for kind, line in palettes.LINES.items()
        )
        for shade in (1, 2)
    )
    return f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"
