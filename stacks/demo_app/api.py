"""The API: hands out tiles and tells how far the picture is. All it knows stands in the store."""

import json
import os
import threading
from urllib.parse import parse_qs, urlsplit

from client import ask_store, told
from spots import COLUMNS, DEPTH, ROWS, TILE
from web import Answer, serve

STRIDE = 97  # shares no factor with the number of tiles: all are met, scattered

handing_out = threading.Lock()
painters: dict[str, list[dict[str, str]]] = {}  # what each painter was told


def hand_out(painter: str, links: list[dict[str, str]]) -> dict:
    """Return the next tile; when all are given away, begin the next picture."""
    painters[painter] = links
    with handing_out:
        journey = ask_store("get", key="journey")
        if journey["next"] == COLUMNS * ROWS:
            journey = {"picture": (journey["picture"] + 1) % DEPTH, "next": 0}
            ask_store("drop", prefix="tile:")
        tile = {
            "picture": journey["picture"],
            "number": journey["next"] * STRIDE % (COLUMNS * ROWS),
        }
        ask_store("set", key="journey", value={**journey, "next": journey["next"] + 1})
        return tile


def tell(seq: int) -> dict:
    """Return the state of the factory, with the tiles painted since write ``seq``."""
    journey = ask_store("get", key="journey")
    fresh = ask_store("since", prefix="tile:", seq=seq)
    return {
        "spot": ask_store("get", key="spot"),
        "picture": journey["picture"],
        "depth": DEPTH,
        "columns": COLUMNS,
        "rows": ROWS,
        "tile": TILE,
        "seq": fresh["seq"],
        "tiles": list(fresh["values"].values()),
        "done": {k.removeprefix("done:"): n for k, n in ask_store("all", prefix="done:").items()},
        "links": [*told("api", "store"), *(link for links in painters.values() for link in links)],
    }


def answer(method: str, path: str, body: bytes) -> Answer:
    url = urlsplit(path)
    match method, url.path:
        case "GET", "/healthz":
            return 200, "text/plain", b"ok\n"
        case "POST", "/next":
            result = hand_out(**json.loads(body))
        case "GET", "/state":
            result = tell(int(parse_qs(url.query).get("since", ["0"])[0]))
        case _:
            return 404, "text/plain", b"no such thing\n"
    return 200, "application/json", json.dumps(result).encode()


serve(os.environ["HOST"], int(os.environ["PORT"]), answer)
