"""A small HTTP server: one function answers every request."""

import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

Answer = tuple[int, str, bytes]  # status, content type, body


class Server(ThreadingTCPServer):
    # Not http.server's own: that asks DNS for the name of its address, which can take seconds.
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *request: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # callers come and go
            super().handle_error(*request)


def serve(host: str, port: int, answer: Callable[[str, str, bytes], Answer]) -> None:
    """Serve ``answer(method, path, body)`` on host:port until the end."""

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, content = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  # the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing of each request: the page asks often."""

    with Server((host, port), Request) as server:
        print(f"serving http://{host}:{port}", flush=True)
        server.serve_forever()
