"""A guest book on real PostgreSQL, Redis and nginx, as plain processes of yours.

    stackdsl run stacks/postgres_redis.py        then: curl ADDRESS-OF-front

Data lives in each service's own folder and goes with the run; no system service is touched. Needs
the programs postgres, psql, redis-server and nginx (Debian, Ubuntu: postgresql redis-server nginx).
"""

import os
import sys
from pathlib import Path

from stackdsl import Command, Me, Port, Ref, check, http, service, task, template

# Where distributions put what an ordinary PATH does not hold.
DEBIAN = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
TOOLS = {"PATH": os.pathsep.join([os.environ["PATH"], *DEBIAN, "/usr/sbin"])}
IS_ROOT = os.geteuid() == 0


@service(
    port=Port(5432, scheme="postgresql"),
    user="postgres" if IS_ROOT else None,  # PostgreSQL refuses to run as root
    ready=check(["sh", "-c", 'pg_isready -q -h "$HOST" -p "$PORT" -U guestbook -d postgres']),
    stop_signal="INT",  # end sessions, then stop; TERM would wait for clients to leave
    env=TOOLS,
)
def postgres(me: Me):
    """Make a cluster in an own folder the first time, then serve it."""
    make = "initdb --pgdata=data --username=guestbook --auth=trust --no-sync >initdb.log"
    serve = f"postgres -D data -h {me.bind} -p {me.port} -c unix_socket_directories="
    return Command(["sh", "-c", f"test -d data || {make} && exec {serve}"], cwd=me.dir)


@task(env=TOOLS)
def migrate(postgres: Ref):
    """Create the tables."""
    url = f"postgresql://guestbook@{postgres.addr}/postgres"
    return ["psql", url, "-Xq", "-v", "ON_ERROR_STOP=1", "-f", "postgres_redis_app/schema.sql"]


@service(port=6379, env=TOOLS)
def redis(me: Me):
    """Count visits; kept in an append-only file."""
    options = {"bind": me.bind, "port": me.port, "dir": me.dir, "appendonly": "yes", "save": ""}
    return [
        "redis-server",
        *(word for name, v in options.items() for word in (f"--{name}", str(v))),
    ]


@service(port=8000, needs=[migrate], ready=http("/healthz"), env=TOOLS)
def api(postgres: Ref, redis: Ref):
    """The guest book itself; healthy when both of its stores answer."""
    return [sys.executable, "postgres_redis_app/api.py"]


@service(
    port=8088,
    user="nobody" if IS_ROOT else None,
    ready=http("/healthz"),
    files={"nginx.conf": template("postgres_redis_app/nginx.conf.tmpl")},
    stop_signal="QUIT",  # let requests end
    env=TOOLS,
)
def front(api: Ref, me: Me):
    """nginx, with a configuration made from the addresses of this run."""
    return ["nginx", "-e", "stderr", "-p", me.dir, "-c", f"{me.dir}/nginx.conf"]
