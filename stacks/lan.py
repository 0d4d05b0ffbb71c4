"""One service on another machine: Redis on "box", the API that counts in it here.

    stackdsl lab run stacks/lan.py      on a machine that is made for it (lan_lab.py)
    stackdsl run stacks/lan.py          on one of yours that ~/.ssh/config calls "box"

Nothing but runs_on= says where it runs. Needs redis-server there; no more than sshd and Python
otherwise.
"""

import sys

from stackdsl import Me, Port, Ref, http, service, ssh

box = ssh("box")


@service(runs_on=box, port=6379)
def redis(me: Me):
    """Count visits, on the other machine."""
    options = {"bind": me.bind, "port": me.port, "save": "", "protected-mode": "no"}
    return [
        "redis-server",
        *(word for name, v in options.items() for word in (f"--{name}", str(v))),
    ]


@service(port=Port(8000, scheme="http"), ready=http("/healthz"))
def api(redis: Ref):
    """Answer with the number of visits; told the address at which this machine reaches Redis."""
    return [sys.executable, "mixed_app/api.py"]
