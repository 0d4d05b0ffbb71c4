"""What images are called, how far a pull is, and what a registry means by its words."""

import pytest

from stackdsl.model import specs
from stackdsl.node import images


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("postgres", ("postgres", "latest")),
        ("postgres:16", ("postgres", "16")),
        ("registry:5000/team/app", ("registry:5000/team/app", "latest")),
        ("registry:5000/team/app:1.2", ("registry:5000/team/app", "1.2")),
        ("app@sha256:abc", ("app", "sha256:abc")),
    ],
)
def test_a_reference_is_cut_into_repository_and_tag(reference: str, parts: tuple[str, str]) -> None:
    assert images._split(reference) == parts


def test_progress_is_the_sum_of_all_layers() -> None:
    assert images._describe([(2_000_000, 10_000_000), (10_000_000, 30_000_000)]) == (
        "pulling 12 of 40 MB"
    )


def test_progress_without_sizes_has_no_numbers() -> None:
    assert images._describe([]) == "pulling"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("manifest for app:9 not found: manifest unknown", "start.no-image"),
        ("pull access denied for app, repository does not exist", "start.image-denied"),
        ("Get https://r/v2/: unauthorized: incorrect password", "start.image-denied"),
        ("dial tcp: lookup registry.example on 10.0.0.1:53: no such host", "start.no-registry"),
        ("write /var/lib/docker/tmp/x: no space left on device", "host.engine-full"),
        ("something else entirely", "start.no-image"),
    ],
)
def test_what_a_registry_says_is_told_apart(said: str, code: str) -> None:
    error = images.explain_pull("r.example/app:9", said)
    assert error.code == code
    assert said in error.why


def test_a_mark_tells_arguments_and_targets_apart() -> None:
    plain = specs.Build(context="/c", fingerprint="f")
    other = specs.Build(context="/c", fingerprint="f", args=(("A", "1"),))
    assert images._mark(plain) != images._mark(other)
