"""A small painting factory: two painters paint the Mandelbrot set, tile by tile, and you watch.

    ./just demo        then open the address of "gateway" in a browser

Needs nothing but Python. Each program is a short file in demo_app/. None of them holds an address:
they are told in the environment (STORE_ADDR, API_URL, …) or on the command line, as below.
"""

import sys

from stackdsl import Me, Ref, http, log, service, task


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, f"demo_app/{script}", *arguments]


@service(port=6420)
def store():
    """Keep tiles and counters in a file; ready when it takes connections."""
    return python("store.py")


@task()
def seed(store: Ref):
    """Choose what to paint, write it down, print its name."""
    return python("seed.py")


@service(
    port=8421,
    needs=[seed],
    ready=http("/healthz"),
    live=http("/healthz"),
    watch=["demo_app/api.py"],
)
def api(store: Ref):
    """Hand out tiles and tell how far the picture is; started anew when its file changes."""
    return python("api.py")


@service(replicas=2, ready=log("painting"), restart="on-failure", env={"PACE_MS": "40"})
def painter(api: Ref, store: Ref, seed: Ref):
    """Take a tile, paint it, store it; what the task printed says where to look."""
    return python("painter.py", seed.output)


@service(port=8422, ready=http("/"))
def pages(me: Me):
    """Serve the page."""
    return python("pages.py", "--bind", me.bind, "--port", str(me.port))


@service(port=8420, ready=http("/api/healthz"))
def gateway(api: Ref, pages: Ref):
    """One door for the browser: /api/… goes to the API, all else to the pages."""
    return python("gateway.py")
