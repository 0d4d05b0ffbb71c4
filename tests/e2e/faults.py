"""A bank of planted faults: stacks with something wrong, and what `why` must say of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.engines import Engine

HEAD = r'''
import sys
from stackdsl import *
PY = sys.executable

# Answers what the file "status" in its folder says (200 without one), until there is a file "die".
SERVER = """
import http.server, os, sys, threading, time
os.chdir(os.environ["STACKDSL_DIR"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(open("status").read()) if os.path.exists("status") else 200)
        self.end_headers()
    def log_message(self, *_): pass
host, port = sys.argv[1], int(sys.argv[2])
server = http.server.ThreadingHTTPServer((host, port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("serving", flush=True)
while not os.path.exists("die"):
    time.sleep(0.02)
print("ends by itself", flush=True)
"""
# Exits with 0 while it is answered with 200 there.
ASK = "import sys, urllib.request; urllib.request.urlopen('http://%s:%s/' % tuple(sys.argv[1:]))"

def serve(me, host=None, port=None):
    return [PY, "-c", SERVER, host or me.bind, str(port or me.port)]

def asks(name, **timing):
    """A check that succeeds while the service of that name answers."""
    program = f'"{PY}" -c "{ASK}" "${name}_HOST" "${name}_PORT"'
    return check(["sh", "-c", program], timeout="5s", **timing)

def says(text, then):
    return ["sh", "-c", f"echo '{text}'; {then}"]

SOON = dict(interval="200ms", failures=1)
'''

# Waits for db, and is called by nobody.
API = """
@service(port=8080)
def api(db: Ref, me: Me): return serve(me)
"""
# Calls db without waiting for it, and is ready only while db answers.
LINKED = """
@service(ready=asks("DB", **SOON), start_timeout="60s", needs=[started("db")])
def api(db: Ref): return ["sleep", "1000"]
"""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One planted fault. ``ask`` is who is asked about, ``root`` and ``words`` what must be said:
    the root's subject, texts that stand in the printed answer. ``act`` breaks it once everything
    is ready."""

    name: str
    stack: str
    root: str
    words: tuple[str, ...]
    ask: str = "api"
    kind: str = "service"
    exit_code: int = 1
    chain: tuple[str, ...] = ()
    act: Callable[[Any, str, Engine], object] | None = None


def touch(cli: Any, run: str, name: str, file: str, text: str = "") -> None:
    """Put a file into a service's own folder, whole from one moment to the next."""
    program = f'cd "$STACKDSL_DIR" && printf %s "{text}" > .new && mv .new "{file}"'
    cli("exec", run, name, "--", "sh", "-c", program)


def kill(cli: Any, run: str, name: str, signal: str) -> None:
    """Send a service's main process a signal."""
    cli("exec", run, name, "--", "kill", f"-{signal}", cli.services(run)[name]["pid"])


SERVED = """
@service(port=5432, ready=http("/", **SOON))
def db(me: Me): return serve(me)
"""

NATIVE = (
    Fault(
        name="listens elsewhere",
        stack=API
        + """
@service(port=5432)
def db(me: Me): return serve(me, "127.0.0.1", 5433)
""",
        root="db",
        words=("refused", "listens on 127.0.0.1:5433", 'listens="127.0.0.1:5433"', "serving"),
        chain=("api", "db"),
        exit_code=0,
    ),
    Fault(
        name="listens on nothing",
        stack=API
        + """
@service(port=5432)
def db(): return ["sleep", "1000"]
""",
        root="db",
        words=("refused", "listens on nothing", "me.bind", "start_timeout"),
        exit_code=0,
    ),
    Fault(
        name="exits at once",
        stack=API
        + """
@service(port=5432)
def db(): return says("no such table: users", "exit 3")
""",
        root="db",
        words=("exited with 3 before it was ready", "last line: no such table: users", "logs"),
    ),
    Fault(
        name="daemonizes",
        stack=API
        + """
@service(port=5432)
def db(): return ["true"]
""",
        root="db",
        words=("exited with 0 before it was ready", "keep it in the foreground"),
    ),
    Fault(
        name="crashes again and again",
        stack=API
        + """
@service(port=5432, restart=Restart(on="always", backoff="20s", cap="20s"))
def db(): return says("cannot open the journal", "exit 7")
""",
        root="db",
        words=(
            "exited with 7",
            "again in 20 s (1 of 5)",
            "restarted once",
            "cannot open the journal",
        ),
    ),
    Fault(
        name="answers something else",
        stack=API
        + """
@service(port=5432, ready=http("/healthz", status=204))
def db(me: Me): return serve(me)
""",
        root="db",
        words=("/healthz answered 200", "correct what ready= asks for"),
        exit_code=0,
    ),
    Fault(
        name="its check fails",
        stack=API
        + """
@service(port=5432, ready=check(["sh", "-c", "echo schema is behind; exit 4"]))
def db(me: Me): return serve(me)
""",
        root="db",
        words=("exited with 4: schema is behind",),
        exit_code=0,
    ),
    Fault(
        name="never says it is ready in its log",
        stack=API
        + """
@service(port=5432, ready=log("ready for connections"))
def db(): return says("recovering 3 of 900", "exec sleep 1000")
""",
        root="db",
        words=("no line matches yet", "last line: recovering 3 of 900"),
        exit_code=0,
    ),
    Fault(
        name="never makes its file",
        stack=API
        + """
@service(port=5432, ready=file("db.sock"))
def db(): return ["sleep", "1000"]
""",
        root="db",
        words=("db.sock does not exist",),
        exit_code=0,
    ),
    Fault(
        name="never notifies",
        stack=API
        + """
@service(port=5432, ready=notify())
def db(): return ["sleep", "1000"]
""",
        root="db",
        words=("not READY=1 yet",),
        exit_code=0,
    ),
    Fault(
        name="a migration fails",
        stack="""
@task()
def migrate(): return says("relation users does not exist", "exit 2")

@service(needs=[migrate])
def api(): return ["sleep", "1000"]
""",
        root="migrate",
        kind="task",
        words=("waits for migrate completed", "exited with 2", "relation users does not exist"),
    ),
    Fault(
        name="a migration still runs",
        stack="""
@task()
def migrate(): return says("row 17 of 4000000", "exec sleep 1000")

@service(needs=[migrate])
def api(): return ["sleep", "1000"]

@service()
def web(api: Ref): return ["sleep", "1000"]
""",
        ask="web",
        root="migrate",
        kind="task",
        words=("it still runs", "last line: row 17 of 4000000"),
        chain=("web", "api", "migrate"),
        exit_code=0,
    ),
    Fault(
        name="a migration takes too long",
        stack="""
@task(timeout="300ms")
def migrate(): return ["sleep", "1000"]

@service(needs=[migrate])
def api(): return ["sleep", "1000"]
""",
        root="migrate",
        kind="task",
        words=("not completed within 0.3 s",),
    ),
    Fault(
        name="a whole chain waits",
        stack="""
@service(port=5432, start_timeout="40s")
def db(): return says("warming up", "exec sleep 1000")

@service(port=5433)
def cache(db: Ref, me: Me): return serve(me)

@service(port=5434)
def queue(cache: Ref, me: Me): return serve(me)

@service()
def api(queue: Ref): return ["sleep", "1000"]
""",
        root="db",
        words=("of its start_timeout of 40 s", "warming up"),
        chain=("api", "queue", "cache", "db"),
        exit_code=0,
    ),
    Fault(
        name="waits for two, of which one failed",
        stack="""
@service(port=5432)
def cache(): return ["sleep", "1000"]

@service(port=5432)
def db(): return says("bad config", "exit 5")

@service()
def api(cache: Ref, db: Ref): return ["sleep", "1000"]
""",
        root="db",
        words=("exited with 5", "bad config"),
    ),
    Fault(
        name="one of its replicas failed",
        stack="""
@service(port=5432, replicas=3)
def db(me: Me):
    return says("shard lost", "exit 9") if me.index == 1 else serve(me)

@service()
def api(db: Ref): return ["sleep", "1000"]
""",
        root="db-1",
        words=("exited with 9", "shard lost"),
    ),
    Fault(
        name="somebody stopped it",
        stack=SERVED + LINKED,
        act=lambda cli, run, _: cli("stop", run, "db"),
        root="db",
        words=("somebody stopped it", "calls db", "stackdsl start"),
    ),
    Fault(
        name="killed from outside",
        stack=SERVED + LINKED,
        act=lambda cli, run, _: kill(cli, run, "db", "KILL"),
        root="db",
        words=("was killed by SIGKILL", "its exit code was 137"),
    ),
    Fault(
        name="its health turns",
        stack=SERVED + LINKED,
        act=lambda cli, run, _: touch(cli, run, "db", "status", "503"),
        root="db",
        words=("answered 503",),
    ),
    Fault(
        name="hangs",
        stack=SERVED.replace("**SOON", 'timeout="300ms", **SOON') + API,
        ask="db",
        act=lambda cli, run, _: kill(cli, run, "db", "STOP"),
        root="db",
        words=("did not answer within 0.3 s", "it listens on"),
    ),
    Fault(
        name="ends by itself when it was ready",
        stack=SERVED + LINKED,
        act=lambda cli, run, _: touch(cli, run, "db", "die"),
        root="db",
        words=("ended by itself", "with exit code 0", "ends by itself", "foreground"),
    ),
    Fault(
        name="not alive",
        stack=API
        + """
@service(port=5432, live=check(["sh", "-c", "echo deadlock; exit 1"], **SOON))
def db(me: Me): return serve(me)
""",
        ask="db",
        root="db",
        words=("not alive", "exited with 1: deadlock"),
    ),
    Fault(
        name="an external does not answer",
        stack="""
@service(runs_on=external("127.0.0.1:9"))
def db(): ...
"""
        + API,
        root="db",
        kind="external",
        words=("127.0.0.1:9", "refused", "external("),
        exit_code=0,
    ),
    Fault(
        name="an external did not answer in time",
        stack="""
@service(runs_on=external("127.0.0.1:9"), start_timeout="300ms")
def db(): ...
"""
        + API,
        root="db",
        kind="external",
        words=("127.0.0.1:9", "refused", "external("),
    ),
    Fault(
        name="a planned circle with one that fails",
        stack="""
@service(port=7000, needs=[planned("two")], ready=asks("TWO"), start_timeout="60s")
def one(two: Ref, me: Me): return serve(me)

@service(port=7000, needs=[planned("one")], start_timeout="60s")
def two(one: Ref, me: Me): return says("no quorum", "sleep 1; exit 6")

@service()
def api(one: Ref): return ["sleep", "1000"]
""",
        root="two",
        words=("exited with 6", "no quorum", "calls two"),
        chain=("api", "one", "two"),
    ),
    Fault(
        name="a hook before the start hangs",
        stack="""
@service(port=5432, hooks={"before_start": ["sleep", "1000"]}, start_timeout="60s")
def db(me: Me): return serve(me)
"""
        + API,
        root="db",
        words=("its start has been under way", "before_start"),
        exit_code=0,
    ),
    Fault(
        name="a hook before the start fails",
        stack="""
@service(port=5432, hooks={"before_start": ["sh", "-c", "echo no space; exit 8"]})
def db(me: Me): return serve(me)
"""
        + API,
        root="db",
        words=("before_start", "no space"),
    ),
    Fault(
        name="a hook after ready hangs",
        stack="""
@service(port=5432, hooks={"after_ready": ["sleep", "1000"]}, start_timeout="60s")
def db(me: Me): return serve(me)
"""
        + API,
        root="db",
        words=("its hook after_ready has run for",),
        exit_code=0,
    ),
    Fault(
        name="another one listens in its place",
        stack="""
@service(port=5432, needs=[started("thief")], start_timeout="60s")
def db(): return ["sleep", "1000"]

@service(ready=log("serving"), needs=[planned("db")])
def thief(db: Ref): return [PY, "-c", SERVER, db.host, str(db.port)]
"""
        + API,
        root="db",
        words=("is held by",),
        exit_code=0,
    ),
)

CONTAINERS = (
    Fault(
        name="its program is not in the image",
        stack="""
@service(runs_on=docker("busybox:local"), port=5432)
def db(): return ["postgres"]
"""
        + API,
        root="db",
        words=("postgres", "image"),
    ),
    Fault(
        name="its Dockerfile fails",
        stack="""
@service(runs_on=docker(build="broken"), port=5432)
def db(): ...
"""
        + API,
        root="*",
        kind="image",
        words=("cannot be had", "no compiler", "exit"),
    ),
    Fault(
        name="its image is being built",
        stack="""
@service(runs_on=docker(build="slow"), port=5432)
def db(): ...
"""
        + API,
        root="*",
        kind="image",
        words=("is not there yet", "it has been pulled or built for"),
        exit_code=0,
    ),
    Fault(
        name="its container listens inside alone",
        stack="""
@service(runs_on=docker("busybox:local"), port=5432)
def db(): return ["httpd", "-f", "-p", "127.0.0.1:5432"]
"""
        + API,
        root="db",
        words=("refused", "0.0.0.0", "127.0.0.1"),
        exit_code=0,
    ),
    Fault(
        name="no packet gets through",
        stack="""
@service(runs_on=docker("busybox:local"), port=7000, ready=log("up"))
def inner(): return ["sh", "-c", "echo up; exec httpd -f -p 127.0.0.1:7000"]

@service(runs_on=docker("busybox:local"))
def api(inner: Ref): return ["sleep", "1000"]
""",
        root="inner",
        kind="link",
        words=("its link to inner is broken", "listens on 127.0.0.1 only", "0.0.0.0"),
        chain=("api", "inner"),
    ),
    Fault(
        name="docker kill",
        stack="""
@service(runs_on=docker("busybox:local"), port=5432)
def db(): return ["httpd", "-f", "-p", "5432"]
"""
        + API,
        ask="db",
        act=lambda cli, run, engine: engine.api.kill(cli.services(run)["db"]["container"]),
        root="db",
        words=("was killed by SIGKILL from outside",),
    ),
    Fault(
        name="docker rm -f",
        stack="""
@service(runs_on=docker("busybox:local"), port=5432)
def db(): return ["httpd", "-f", "-p", "5432"]
"""
        + API,
        ask="db",
        act=lambda cli, run, engine: engine.api.remove_container(
            cli.services(run)["db"]["container"], force=True
        ),
        root="db",
        words=("was removed from outside (docker rm)",),
    ),
    Fault(
        name="an image without a health check",
        stack="""
@service(runs_on=docker("busybox:local"), port=5432, ready=docker_health())
def db(): return ["httpd", "-f", "-p", "5432"]
"""
        + API,
        root="db",
        words=("HEALTHCHECK",),
        exit_code=0,
    ),
    Fault(
        name="the engine is away",
        stack="""
@service(runs_on=docker("busybox:local"), port=5432)
def db(): return ["httpd", "-f", "-p", "5432"]
"""
        + API,
        ask="db",
        act=lambda cli, run, engine: engine.kill(),
        root="local",
        kind="host",
        words=("host local does not do", "its engine of containers is away", "start the engine"),
        exit_code=3,
    ),
)
