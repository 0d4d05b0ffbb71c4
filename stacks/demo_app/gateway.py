"""The gateway: passes /api/… on to the API and all else to the pages."""

import json
import os
import urllib.error
import urllib.request

from client import told
from web import Answer, serve


def fetch(method: str, url: str, body: bytes) -> Answer:
    request = urllib.request.Request(url, body or None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Content-Type", "text/plain"), error.read()
    except OSError as error:
        return 502, "text/plain", f"cannot reach {url}: {error}\n".encode()


def answer(method: str, path: str, body: bytes) -> Answer:
    if path == "/links":
        return 200, "application/json", json.dumps(told("gateway", "api", "pages")).encode()
    if path.startswith("/api/"):
        return fetch(method, os.environ["API_URL"] + path.removeprefix("/api"), body)
    return fetch(method, os.environ["PAGES_URL"] + path, body)


print(f"open http://{os.environ['HOST']}:{os.environ['PORT']} in a browser", flush=True)
serve(os.environ["HOST"], int(os.environ["PORT"]), answer)
