"""The tour in a real JupyterLab, driven by a browser: what is clicked happens on the machine."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright import sync_api

from tests.waiting import eventually

TOP = Path(__file__).parents[2]
TOKEN = "tour"  # on loopback, in a network of the test's own or for a minute
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
SETTINGS = {
    "apputils-extension/themes": {"theme": os.environ.get("JUPYTERLAB_THEME", "JupyterLab Light")},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are there too
}
WAIT_MS = 30_000


@dataclass
class Lab:
    """A JupyterLab that serves a copy of the notebooks."""

    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={TOKEN}"

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(self.url("api/status"), timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """Ask it to end, kernels first."""
        request = urllib.request.Request(self.url("api/shutdown"), method="POST")
        urllib.request.urlopen(request, timeout=10).close()


def find_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def lab(tmp_path: Path, state_home: Path) -> Iterator[Lab]:
    for folder in ("notebooks", "stacks"):  # a copy: the lab writes outputs into what it opens
        shutil.copytree(TOP / folder, tmp_path / folder)
    own = state_home / "run" / "jupyter"
    for name, values in SETTINGS.items():
        file = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    environment = {
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "IPYTHONDIR": str(own / "ipython"),
    }
    lab = Lab(find_port())
    arguments = {
        "ServerApp.open_browser": "False",
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(lab.port),
        "ServerApp.port_retries": "0",
        "ServerApp.root_dir": str(tmp_path),
        "IdentityProvider.token": TOKEN,
        "KernelManager.transport": "ipc",
    }
    said = state_home / "lab.log"
    with said.open("w") as log, subprocess.Popen(
        [
            sys.executable, "-m", "jupyter", "lab", "--allow-root",
            *(f"--{name}={value}" for name, value in arguments.items()),
        ],
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    ) as server:  # fmt: skip
        try:
            eventually(lab.is_up, within_s=60)
            yield lab
            lab.stop()
            server.wait(20)
        except BaseException:
            print(said.read_text()[-3000:])
            raise
        finally:
            if server.poll() is None:
                server.kill()


@pytest.fixture
def page() -> Iterator[sync_api.Page]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(WAIT_MS)
        yield page
        show(page, "last")
        for output in page.locator(".jp-OutputArea-output").all():  # shown where the test fails
            print(output.inner_text())
        browser.close()


def choose(page: sync_api.Page, entry: str) -> None:
    """Choose an entry of the menu Run."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()


def show(page: sync_api.Page, name: str) -> None:
    """Keep a picture where somebody wants to look at it."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def wake_kernel(page: sync_api.Page) -> None:
    """Run the first cell until it was run: what is asked of JupyterLab before it has a kernel
    makes it ask which, or is dropped without a word."""
    page.get_by_text(re.compile(r"^Python 3 \(ipykernel\) \| Idle$")).wait_for()
    cell = page.locator(".jp-CodeCell").first
    done = cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]"))
    for _ in range(6):
        cell.locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
        with contextlib.suppress(sync_api.TimeoutError):
            done.wait_for(timeout=WAIT_MS / 6)
            return
    raise AssertionError("the kernel runs nothing")


class PanelOnPage:
    """The panel as a reader of the page handles it."""

    def __init__(self, page: sync_api.Page) -> None:
        self.box = page.locator(".sd-panel").first
        self.box.wait_for()

    def wait_for(self, service: str, state: str) -> None:
        self.box.locator(f'tr[data-service="{service}"][data-state="{state}"]').wait_for()

    def click(self, button: str) -> None:
        text = re.compile(rf"^\W*{button}$")  # an icon's character stands before it
        self.box.locator("button:enabled").filter(has_text=text).click()

    def choose(self, service: str) -> None:
        self.box.locator("select").first.select_option(service)


def find_program(script: str, home: Path) -> list[int]:
    """Return the processes of one of the demo's programs that belong to this test."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            command = Path("/proc", entry, "cmdline").read_bytes()
            if f"demo_app/{script}".encode() in command and entry.isdigit():
                environment = Path("/proc", entry, "environ").read_bytes()
                found += [int(entry)] if os.fsencode(home) in environment else []
        except OSError:  # ended meanwhile
            continue
    return found


@pytest.mark.timeout(240)  # a busy machine takes a minute to bring JupyterLab up
@pytest.mark.programs("chromium")
@pytest.mark.usefixtures("needs_programs")
def test_the_tour_is_run_and_its_panel_used(
    lab: Lab, page: sync_api.Page, state_home: Path
) -> None:
    page.goto(lab.url("lab/tree/notebooks/tour.ipynb"))
    stop = page.locator(".jp-CodeCell", has_text="await run.stop()")
    stop.wait_for()
    wake_kernel(page)
    stop.click()
    choose(page, "Run All Above Selected Cell")

    panel = PanelOnPage(page)
    panel.wait_for("painter-1", "ready")
    panel.box.locator(".sd-lines", has_text="painting").wait_for()
    page.locator('.jp-OutputArea-output img[src^="data:image/svg+xml"]').wait_for()
    assert page.locator(".jp-OutputArea-output tr[data-service]").count() >= 7
    show(page, "tour")
    (api,) = find_program("api.py", state_home)

    panel.choose("api")
    panel.click("Stop")
    panel.wait_for("api", "stopped")
    eventually(lambda: not os.path.exists(f"/proc/{api}"))
    show(page, "stopped")

    panel.click("Start")
    panel.wait_for("api", "ready")
    assert find_program("api.py", state_home) not in ([], [api])

    stop.locator(".jp-InputArea-editor").click()  # a click in the panel has chosen its cell
    choose(page, "Run Selected Cell and All Below")
    panel.box.locator(".sd-head", has_text="the run has ended").wait_for()
    page.locator(".jp-OutputArea-output", has_text="I was told that web is at").wait_for()
    assert panel.box.locator("button:enabled").count() == 0
    eventually(lambda: not find_program("", state_home))
    assert page.locator('.jp-OutputArea-output[data-mime-type*="stderr"]').count() == 0
    show(page, "ended")
