"""A painter: takes a tile from the API, computes it, puts it into the store, and so on."""

import base64
import math
import os
import sys
import time

from client import ask_http, ask_store, told
from spots import COLUMNS, ROWS, SPOTS, TILE, span_of


def colour(point: complex, limit: int) -> int:
    """Return 0 inside the set, else 1 to 255: how fast the point runs away."""
    z = 0j
    for step in range(limit):
        z = z * z + point
        if z.real * z.real + z.imag * z.imag > 64:
            return 1 + int(8 * (step - math.log2(math.log2(abs(z))))) % 255
    return 0


def paint(centre: complex, picture: int, number: int) -> str:
    """Return a tile's pixels, row by row, a byte each, in base64."""
    pixel = span_of(picture) / (COLUMNS * TILE)
    row, column = divmod(number, COLUMNS)
    left = centre.real + (column - COLUMNS / 2) * TILE * pixel
    top = centre.imag - (row - ROWS / 2) * TILE * pixel
    limit = 100 + 25 * picture
    pixels = bytes(
        colour(complex(left + x * pixel, top - y * pixel), limit)
        for y in range(TILE)
        for x in range(TILE)
    )
    return base64.b64encode(pixels).decode()


def work(name: str, centre: complex) -> None:
    """Do one tile and say so now and then."""
    tile = ask_http(f"{os.environ['API_URL']}/next", {"painter": name, "links": links})
    pixels = paint(centre, **tile)
    key = f"tile:{tile['picture']}:{tile['number']}"
    ask_store("set", key=key, value={**tile, "painter": name, "pixels": pixels})
    done = ask_store("add", key=f"done:{name}", value=1)
    if done % 100 == 0:
        print(f"{done} tiles painted", flush=True)


if __name__ == "__main__":
    spot = sys.argv[1]
    name = f"painter-{os.environ['STACKDSL_INDEX']}"
    links = told(name, "api", "store")
    print(f"painting {spot}", flush=True)
    while True:
        try:
            work(name, SPOTS[spot])
        except OSError as error:  # the API or the store is being restarted
            print(f"waiting: {error}", file=sys.stderr, flush=True)
            time.sleep(0.5)
        time.sleep(int(os.environ["PACE_MS"]) / 1000)
