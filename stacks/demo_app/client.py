"""What the programs of the demo share: asking the store and over HTTP, and who was told what."""

import json
import os
import socket
import urllib.request


def ask_store(op: str, **arguments):
    """Ask the store one thing. A connection a request, so that it may restart at any time."""
    address = os.environ["STORE_HOST"], int(os.environ["STORE_PORT"])
    with socket.create_connection(address, timeout=5) as connection, connection.makefile() as lines:
        connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        return json.loads(lines.readline())


def ask_http(url: str, body=None):
    """GET, or POST a JSON body; returns the JSON answer."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=5) as answer:
        return json.load(answer)


def told(me: str, *names: str) -> list[dict[str, str]]:
    """Return the addresses that the environment told me, for the map on the page."""
    return [
        {"from": me, "to": name, "address": os.environ[f"{name.upper()}_ADDR"]} for name in names
    ]
