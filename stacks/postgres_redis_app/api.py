"""A guest book: notes in PostgreSQL (asked through psql), visits counted in Redis.

GET /            {"visits": 3, "notes": [{"id": 1, "written": "…", "text": "hello"}]}
POST /notes      the body is the note
GET /healthz     ok, when both stores answer
"""

import json
import os
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

DATABASE = f"postgresql://guestbook@{os.environ['POSTGRES_ADDR']}/postgres"
LATEST = """
    select coalesce(json_agg(n), '[]')
    from (select * from notes order by id desc limit 20) n
"""


def sql(statement: str, **values: str) -> str:
    """Run a statement; ``:'name'`` in it stands for a value, quoted by psql."""
    sets = [word for name, value in values.items() for word in ("-v", f"{name}={value}")]
    done = subprocess.run(
        ["psql", DATABASE, "-XqAt", "-v", "ON_ERROR_STOP=1", *sets],
        input=statement, capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(done.stderr.strip())
    return done.stdout.strip()


def redis(*words: str) -> bytes:
    """Send one command in RESP and return the first line of the answer, without its type.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    address = os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])
    request = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").readline().rstrip()
    if answer[:1] not in b"+:":
        raise OSError(f"redis: {answer.decode()}")
    return answer[1:]


class Request(BaseHTTPRequestHandler):
    def answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        try:
            if self.path == "/healthz":
                self.answer(200, {"redis": redis("PING").decode(), "postgres": sql("select 'ok'")})
            else:
                visits, notes = int(redis("INCR", "visits")), json.loads(sql(LATEST))
                self.answer(200, {"visits": visits, "notes": notes})
        except OSError as error:
            self.answer(503, {"error": str(error)})

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        try:
            number = sql("insert into notes (text) values (:'text') returning id", text=text)
            self.answer(201, {"id": int(number)})
        except OSError as error:
            self.answer(503, {"error": str(error)})

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002  # http.server's name
        print(format % values, flush=True)


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *request: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # callers come and go
            super().handle_error(*request)


with Server((os.environ["HOST"], int(os.environ["PORT"])), Request) as server:
    server.serve_forever()
