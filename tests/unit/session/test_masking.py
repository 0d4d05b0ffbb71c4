"""Plans that are shown or stored hold no secret, wherever an author may have written one."""

import json
from pathlib import Path

import pytest

import stackdsl
from stackdsl.model import plans
from stackdsl.plan import planning
from stackdsl.session import masking
from stackdsl.wire import codec
from tests.unit.plan import making

SECRET = "hush-hush-7"
TEXT = """
from stackdsl import *
S = secret("TOKEN")
probes = [http("/x?t=" + S, headers={"X-Token": S}, body_contains=S), check(["ask", S])]

@service(runs_on=external("db.example.com:5432"), ready=http("/", headers={"X-Token": S}))
def db(): ...

@service(
    runs_on=docker(build=Build("context", args={"TOKEN": S}), sysctls={"a": S}, entrypoint=[S]),
    port=80, env={"TOKEN": S}, ready=probes, live=probes,
)
def box(db: Ref): return ["serve", S]

@task(
    done=check(["is-done", S]), files={"conf": S}, hooks={"before_start": ["prepare", S]},
    stop_command=["end", S],
)
def native(box: Ref): return ["work", S]
"""


def encode(plan: plans.Plan) -> str:
    return json.dumps(codec.encode(plan))


def test_a_masked_plan_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    (tmp_path / "context").mkdir()
    file = tmp_path / "shop.py"
    file.write_text(TEXT)
    stack = stackdsl.load(str(file))
    plan = planning.make_plan(stack, making.local(), run="shop", folder="/state/shop")

    masked = masking.mask_plan(plan, stack.secrets)

    assert SECRET in encode(plan)
    assert SECRET not in encode(masked)
