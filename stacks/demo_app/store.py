"""A key-value store over TCP: a JSON request a line, a JSON answer a line, kept in a file.

{"op": "set", "key": "spot", "value": "Seahorse Valley"}    → the value
{"op": "get", "key": "spot"}                                → the value, or null
{"op": "add", "key": "tiles", "value": 1}                   → the sum
{"op": "all", "prefix": "done:"}                            → {key: value}
{"op": "since", "prefix": "tile:", "seq": 40}               → {"seq": 43, "values": {…}}
{"op": "drop", "prefix": "tile:"}                           → how many
"""

import json
import os
import socketserver
import threading
from contextlib import suppress
from pathlib import Path


class Store:
    """Keys, values, and the number of the write that made them; replayed from a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lock = threading.Lock()
        self.rows: dict[str, tuple[int, object]] = {}
        self.seq = 0
        if file.exists():
            for line in file.read_text().splitlines():
                self.put(*json.loads(line))
        self.rewrite()

    def put(self, key: str, value: object) -> None:
        self.seq += 1
        self.rows.pop(key, None)  # the newest stand last
        self.rows[key] = (self.seq, value)

    def write(self, key: str, value: object) -> object:
        self.put(key, value)
        self.log.write(json.dumps([key, value]) + "\n")
        self.log.flush()
        return value

    def rewrite(self) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text("".join(json.dumps([k, v]) + "\n" for k, (_, v) in self.rows.items()))
        fresh.replace(self.file)
        self.log = self.file.open("a")

    def do_set(self, key: str, value: object) -> object:
        return self.write(key, value)

    def do_get(self, key: str) -> object:
        return self.rows.get(key, (0, None))[1]

    def do_add(self, key: str, value: int) -> object:
        return self.write(key, self.rows.get(key, (0, 0))[1] + value)

    def do_all(self, prefix: str) -> dict[str, object]:
        return {k: v for k, (_, v) in self.rows.items() if k.startswith(prefix)}

    def do_since(self, prefix: str, seq: int) -> dict[str, object]:
        found = {}
        for k, (number, v) in reversed(self.rows.items()):
            if number <= seq:
                break
            if k.startswith(prefix):
                found[k] = v
        return {"seq": self.seq, "values": found}

    def do_drop(self, prefix: str) -> int:
        gone = [k for k in self.rows if k.startswith(prefix)]
        for k in gone:
            del self.rows[k]
        self.rewrite()
        return len(gone)


class Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):  # callers come and go
            for line in self.rfile:
                request = json.loads(line)
                answer = getattr(store, f"do_{request.pop('op')}")
                with store.lock:
                    result = answer(**request)
                self.wfile.write(json.dumps(result).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    store = Store(Path(os.environ["STACKDSL_DIR"], "store.jsonl"))
    with Server((os.environ["HOST"], int(os.environ["PORT"])), Connection) as server:
        print(f"{len(store.rows)} keys in {store.file.name}", flush=True)
        server.serve_forever()
