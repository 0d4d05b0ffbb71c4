"""Files and folders that a service wants copied into its own folder."""

from pathlib import Path

import stackdsl

STACK = """
from stackdsl import copy, task

@task(files={"site": copy("site"), "one": copy("site/run.sh")})
def show(me):
    return ["sh", "-c", f"cd {me.dir} && cat site/below/page && site/run.sh && ./one"]

@task()
def after(show):
    return ["sh", "-c", f"test '{show.output}' = 'pageranran'"]
"""


def test_a_folder_is_copied_with_what_is_below_it(tmp_path: Path) -> None:
    (tmp_path / "site/below").mkdir(parents=True)
    (tmp_path / "site/below/page").write_text("page")
    script = tmp_path / "site/run.sh"
    script.write_text("#!/bin/sh\nprintf ran\n")
    script.chmod(0o755)
    (tmp_path / "copies.py").write_text(STACK)
    with stackdsl.load(tmp_path / "copies.py").up() as run:
        assert run["after"].state == "completed"
