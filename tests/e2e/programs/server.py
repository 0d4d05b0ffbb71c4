"""A server that can be made to behave badly; takes $HOST and $PORT.

--after S     listens S seconds late          --at HOST     listens there instead
--ignore-term takes no notice of SIGTERM       --fork        leaves a grandchild in its own session
--exit-after S ends by itself with code 7      --say TEXT    prints a line at first
"""

import argparse
import http.server
import os
import signal
import socketserver
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--after", type=float, default=0)
parser.add_argument("--at", default=os.environ.get("HOST", "127.0.0.1"))
parser.add_argument("--ignore-term", action="store_true")
parser.add_argument("--fork", action="store_true")
parser.add_argument("--exit-after", type=float)
parser.add_argument("--say", default="starting")
options = parser.parse_args()


class Request(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.getpid()} {os.environ.get('GREETING', '')}\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


print(options.say, flush=True)
if options.ignore_term:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.fork and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
time.sleep(options.after)
with Server((options.at, int(os.environ["PORT"])), Request) as server:
    if options.exit_after is not None:
        threading.Timer(options.exit_after, lambda: os._exit(7)).start()
    server.serve_forever()
sys.exit(0)
