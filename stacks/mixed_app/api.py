"""Counts visits in Redis.

GET /            hello, visitor 3
GET /healthz     ok, when Redis answers
"""

import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = "hello"
REDIS = os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])


def redis(command: str) -> str:
    """Send one command and return the first line of the answer, without its type."""
    with socket.create_connection(REDIS, timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        answer = connection.makefile().readline().rstrip()
    if answer[:1] not in "+:":
        raise OSError(f"redis: {answer}")
    return answer[1:]


class Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            if self.path == "/healthz":
                status, text = 200, f"ok {redis('PING')}"
            else:
                status, text = 200, f"{GREETING}, visitor {redis('INCR visits')}"
        except OSError as error:
            status, text = 503, str(error)
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Request).serve_forever()
