"""Graphs read by others: Graphviz, Mermaid's own renderer, and a browser that measures letters."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api

from stackdsl.model import graphs
from stackdsl.views import graphs as views
from tests.unit.views import drawings

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
PLAIN = [
    drawings.make_graph("layered", 24, hosts=3, topology=topology, states=True)
    for topology in (False, True)
]
NASTY = [drawings.make_nasty(kind) for kind in ("dependency", "topology")]
VIEWS = [*PLAIN, *NASTY]
IDS = ["dependency", "topology", "nasty dependency", "nasty topology"]
# What XML cannot hold, and runs of white space, are not told apart in a picture.
UNLIKE = re.compile("[\x00-\x20\ud800-\udfff\ufffd\u200b\u00a0]+")


def squeeze(text: str) -> str:
    return UNLIKE.sub("", text).replace("`", "\u02cb")


def texts_of(root: ET.Element) -> str:
    """Return every visible text, without white space."""
    found = [
        "".join(one.itertext())
        for one in root.iter()
        if one.tag.rpartition("}")[2] in {"text", "foreignObject"}
    ]
    return "\n".join(map(squeeze, found))


@pytest.mark.programs("dot")
@pytest.mark.usefixtures("needs_programs")
@pytest.mark.parametrize("view", VIEWS, ids=IDS)
def test_graphviz_draws_every_node_edge_and_name(view: graphs.GraphView) -> None:
    done = subprocess.run(
        ["dot", "-Tsvg"], check=False, input=views.graph_dot(view), text=True, capture_output=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    root = drawings.read(done.stdout)
    nodes = [node for node in view.nodes if node.kind != "host"]
    assert len(drawings.find(root, "node")) == len(nodes)
    written = texts_of(root)
    assert [node.id for node in nodes if squeeze(node.id) not in written] == []


@pytest.fixture(scope="session")
def mermaid() -> Path:
    """Install Mermaid's renderer as locked, once; return its command."""
    folder = ROOT / ".cache" / "mermaid"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [ROOT / "tests" / "mermaid" / name for name in ("package.json", "package-lock.json")]
    sources.append(ROOT / "tests" / "mermaid" / ".npmrc")
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    stamp = folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers wait here
        if not stamp.exists() or stamp.read_text() != wanted:
            for file in sources:
                shutil.copy(file, folder / file.name)
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                check=True,
                env={**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"},
                capture_output=True,
                timeout=240,
            )
            stamp.write_text(wanted)
    return folder / "node_modules" / ".bin" / "mmdc"


@pytest.mark.timeout(300)  # the first one installs
@pytest.mark.programs("node", "npm", "chromium")
@pytest.mark.usefixtures("needs_programs")
@pytest.mark.parametrize("view", VIEWS, ids=IDS)
def test_mermaid_draws_every_node_edge_and_name(
    view: graphs.GraphView, mermaid: Path, tmp_path: Path
) -> None:
    (tmp_path / "browser.json").write_text(
        json.dumps(
            {
                "executablePath": CHROMIUM,
                "args": ["--headless", *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"],
            }
        )
    )
    (tmp_path / "graph.mmd").write_text(views.graph_mermaid(view))
    done = subprocess.run(
        [mermaid, "-q", "-p", "browser.json", "-i", "graph.mmd", "-o", "graph.svg"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )

    assert done.returncode == 0, done.stderr
    root = ET.parse(tmp_path / "graph.svg").getroot()
    nodes = [node for node in view.nodes if node.kind != "host"]
    machines = {node.id for node in view.nodes if node.kind == "host"}
    edges = [edge for edge in view.edges if edge.source not in machines]
    assert len(drawings.find(root, "node")) == len(nodes)
    loops = sum(edge.source == edge.target for edge in edges)
    assert len(drawings.find(root, "flowchart-link")) == len(edges) + 2 * loops  # three parts each
    written = texts_of(root)
    assert [node.id for node in nodes if squeeze(node.id) not in written] == []
    assert not [one for one in root.iter() if one.tag.rpartition("}")[2] == "script"]


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with (
        sync_api.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as opened,
    ):
        yield opened


@pytest.fixture
def page(browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    """Return an empty page; what it says to its console fails the test."""
    opened = browser.new_page(viewport={"width": 1200, "height": 800})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.on("request", lambda request: said.append(request.url))
    yield opened
    opened.close()
    assert said == []


LEAVING = """() => [...document.querySelectorAll('.node')].flatMap(node => {
  const box = node.querySelector('.box').getBBox();
  return [...node.querySelectorAll('text')].filter(text => {
    const own = text.getBBox();
    return own.x < box.x || own.x + own.width > box.x + box.width
      || own.y < box.y - 1 || own.y + own.height > box.y + box.height + 1;
  }).map(text => text.textContent);
})"""
PILED = """() => {
  const places = [...document.querySelectorAll('.label, .frame-label, .title, .subtitle, .heading')]
    .map(one => [one.textContent, one.getBBox(), one.getCTM().e, one.getCTM().f])
    .map(([text, box, x, y]) => [text, box.x + x, box.y + y, box.width, box.height]);
  const pairs = [];
  places.forEach((a, n) => places.slice(n + 1).forEach(b => {
    if (a[1] < b[1] + b[3] && b[1] < a[1] + a[3] && a[2] + 2 < b[2] + b[4] - 2
      && b[2] + 2 < a[2] + a[4] - 2) pairs.push([a[0], b[0]]);
  }));
  return pairs;
}"""
browsed = pytest.mark.programs("chromium")
needed = pytest.mark.usefixtures("needs_programs")


@browsed
@needed
@pytest.mark.parametrize("view", VIEWS, ids=IDS)
def test_in_a_browser_no_text_leaves_its_box_and_no_label_lies_on_another(
    view: graphs.GraphView, page: sync_api.Page
) -> None:
    page.set_content(views.graph_html(view))

    assert page.evaluate(LEAVING) == []
    assert page.evaluate(PILED) == []


@browsed
@needed
def test_a_page_is_moved_and_sized_with_keys(page: sync_api.Page) -> None:
    page.set_content(views.graph_html(PLAIN[0]))
    read = "() => document.querySelector('main svg').style.transform"
    before = page.evaluate(read)

    page.locator("#stage").focus()
    page.keyboard.press("+")
    larger = page.evaluate(read)
    page.keyboard.press("ArrowLeft")
    moved = page.evaluate(read)
    page.keyboard.press("0")

    assert len({before, larger, moved}) == 3
    assert page.evaluate(read) == before


@browsed
@needed
def test_a_long_chain_begins_at_its_first_box_and_large_enough_to_read(
    page: sync_api.Page,
) -> None:
    view = graphs.GraphView(
        name="chain",
        nodes=tuple(graphs.GraphNode(id=f"s{n:02}", kind="service", stage=n) for n in range(100)),
        edges=tuple(
            graphs.GraphEdge(source=f"s{n:02}", target=f"s{n - 1:02}", kind="needs")
            for n in range(1, 100)
        ),
    )
    page.set_content(views.graph_html(view))
    box = page.locator('.node[data-id="s99"]').bounding_box()

    assert box is not None
    assert 0 <= box["x"] < 100
    assert box["width"] > 40


@browsed
@needed
def test_a_box_that_has_the_focus_tells_what_it_is_and_shows_its_own_lines(
    page: sync_api.Page,
) -> None:
    view = PLAIN[0]
    page.set_content(views.graph_html(view))
    name = next(edge.source for edge in view.edges if edge.condition != "planned")

    page.locator("#find").fill(name)
    page.keyboard.press("Enter")

    assert name in page.locator("#told").inner_text()
    shown = page.locator(".edge.near").evaluate_all(
        "all => all.map(one => [one.dataset.from, one.dataset.to])"
    )
    assert shown
    assert all(name in ends for ends in shown)
    assert page.locator(".node:focus").get_attribute("data-id") == name


@browsed
@needed
def test_a_page_follows_the_screen_and_is_light_on_paper(page: sync_api.Page) -> None:
    page.set_content(views.graph_html(PLAIN[0]))
    read = "() => getComputedStyle(document.querySelector('.page')).fill"

    page.emulate_media(color_scheme="light")
    light = page.evaluate(read)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(read)
    page.emulate_media(color_scheme="dark", media="print")

    assert light == "rgb(255, 255, 255)"
    assert dark != light
    assert page.evaluate(read) == light
    assert not page.locator("header").is_visible()
