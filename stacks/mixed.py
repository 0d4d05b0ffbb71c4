"""Native and container in one stack, on one network: nginx and Redis as containers, the API a
process of yours between them.

    stackdsl run stacks/mixed.py        then: curl ADDRESS-OF-front

    front (container) ── api (process here, debug it as ever) ── redis (container)

Edit mixed_app/api.py while it runs: it serves the new code at once, and no image is built. The
images come from your engine; $REDIS_IMAGE and $NGINX_IMAGE name others.
"""

import os
import sys

from stackdsl import Me, Port, Ref, docker, http, service, template

REDIS = os.environ.get("REDIS_IMAGE", "redis:7-alpine")
NGINX = os.environ.get("NGINX_IMAGE", "nginx:alpine")


@service(runs_on=docker(REDIS), port=6379, volumes=["counts:/data"])
def redis():
    """Count visits; the volume outlives the run."""
    return ["redis-server", "--appendonly", "yes", "--dir", "/data", "--protected-mode", "no"]


@service(port=Port(8000, scheme="http"), ready=http("/healthz"), watch=["mixed_app/api.py"])
def api(redis: Ref):
    """Answer with the number of visits; started anew when its file changes."""
    return [sys.executable, "mixed_app/api.py"]


@service(
    runs_on=docker(NGINX),
    port=Port(80, publish=8080),
    ready=http("/healthz"),
    files={"nginx.conf": template("mixed_app/nginx.conf.tmpl")},
)
def front(api: Ref, me: Me):
    """The one door: a container that calls a process of this machine by address."""
    return ["nginx", "-c", f"{me.dir}/nginx.conf"]
