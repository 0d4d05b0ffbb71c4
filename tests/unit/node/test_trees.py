"""Which files under watched paths count."""

import pytest

from stackdsl.node import trees


@pytest.mark.parametrize(
    "path", ["/app/a.py", "/app/deep/er/a.py", "/app/.env", "/app/templates/x.html", "/app"]
)
def test_files_at_and_under_a_watched_folder_count(path: str) -> None:
    assert trees.does_count(path, "/app", is_folder=False)


@pytest.mark.parametrize(
    "path",
    [
        "/app/.git/HEAD",
        "/app/pkg/__pycache__/a.cpython-311.pyc",
        "/app/node_modules/x/index.js",
        "/app/.venv/lib/a.py",
        "/app/.a.py.swp",
        "/app/a.py~",
        "/app/4913",
        "/app/.#a.py",
        "/app/a.py___jb_tmp___",
        "/application/a.py",
        "/other/a.py",
    ],
)
def test_what_editors_and_tools_make_and_what_lies_elsewhere_does_not_count(path: str) -> None:
    assert not trees.does_count(path, "/app", is_folder=False)


def test_a_path_that_is_named_itself_counts_whatever_it_is_called() -> None:
    assert trees.does_count("/app/.git/HEAD", "/app/.git/HEAD", is_folder=False)


def test_a_folder_above_a_watched_path_counts_because_it_may_bring_it() -> None:
    assert trees.does_count("/app", "/app/src/a.py", is_folder=True)
    assert not trees.does_count("/app", "/app/src/a.py", is_folder=False)
