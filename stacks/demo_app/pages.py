"""The web server for the page: reads the file anew for each request, so that edits show at once."""

import argparse
from pathlib import Path

from web import Answer, serve

PAGE = Path(__file__).parent / "page" / "index.html"


def answer(method: str, path: str, body: bytes) -> Answer:
    if path == "/":
        return 200, "text/html; charset=utf-8", PAGE.read_bytes()
    return 404, "text/plain", b"no such page\n"


parser = argparse.ArgumentParser()
parser.add_argument("--bind")
parser.add_argument("--port", type=int)
options = parser.parse_args()
serve(options.bind, options.port, answer)
