"""The pytest plugin, in pytest runs of their own."""

import textwrap

import pytest

STACK = """
    import sys
    from stackdsl import Me, service

    @service(port=8080)
    def web(me: Me):
        return [sys.executable, "-m", "http.server", "--bind", me.bind, str(me.port)]

    @service()
    def talker():
        return ["sh", "-c", "echo the last word; exec sleep 1000"]
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    (pytester.path / "web.py").write_text(textwrap.dedent(STACK))
    pytester.makeini("[pytest]\naddopts = -p no:hypothesispytest -p no:cacheprovider")
    return pytester


def run(suite: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    suite.makepyfile(textwrap.dedent(text))
    return suite.runpytest_subprocess(*options)


def test_a_function_scoped_stack_is_fresh_for_each_test(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
        import pytest
        pids = set()
        pytestmark = pytest.mark.stack("web.py")
        def test_one(stack_run):
            assert stack_run["web"].state == "ready"
            pids.add(stack_run["web"].pid)
        def test_two(stack_run):
            pids.add(stack_run["web"].pid)
            assert len(pids) == 2
        """,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("scope", ["module", "session"])
def test_a_wider_scope_keeps_the_stack(suite: pytest.Pytester, scope: str) -> None:
    result = run(
        suite,
        f"""
        import pytest
        pids = set()
        pytestmark = pytest.mark.stack("web.py", scope="{scope}")
        def test_one(stack_run):
            pids.add(stack_run["web"].pid)
        def test_two(stack_run):
            pids.add(stack_run["web"].pid)
            assert len(pids) == 1
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_failing_test_tells_states_and_last_lines_of_every_service(
    suite: pytest.Pytester,
) -> None:
    result = run(
        suite,
        """
        import pytest, time
        @pytest.mark.stack("web.py")
        def test_it(stack_run):
            while "last word" not in stack_run["talker"].logs():
                time.sleep(0.01)
            assert False
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*stack web@test-*", "run is ready", "web: ready at 127.*:8080"])
    result.stdout.fnmatch_lines(["talker: ready", "*| the last word"])


def test_a_failing_test_tells_why_what_is_not_well_is_so(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
        import pytest, os, signal
        @pytest.mark.stack("web.py")
        def test_it(stack_run):
            os.kill(stack_run["talker"].pid, signal.SIGKILL)
            stack_run["talker"].wait("failed")
            assert False
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*stack web@test-*",
            "why: talker has failed: was killed by SIGKILL",
            "  seen   *",
            "*last line: the last word",
            "  do     *",
            "talker: failed*",
        ]
    )


def test_a_stack_that_cannot_start_fails_the_test_with_its_error(suite: pytest.Pytester) -> None:
    (suite.path / "bad.py").write_text(
        "from stackdsl import service\n@service(prot=1)\ndef x(): return 'sleep 1'\n"
    )
    result = run(
        suite,
        """
        import pytest
        @pytest.mark.stack("bad.py")
        def test_it(stack_run): pass
        """,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(['*there is no keyword "prot"*', "*bad.py:2 @service x*"])


def test_a_test_without_a_marker_is_told_to_name_its_stack(suite: pytest.Pytester) -> None:
    result = run(suite, "def test_it(stack_run): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mark the test with @pytest.mark.stack*"])


def test_each_xdist_worker_runs_a_copy_of_its_own(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
        import pytest, time, urllib.request
        pytestmark = pytest.mark.stack("web.py", scope="session")
        @pytest.mark.parametrize("n", range(6))
        def test_it(stack_run, n, worker_id):
            assert worker_id in stack_run.name
            assert stack_run["web"].port == 8080
            time.sleep(0.1)
        """,
        "-n",
        "3",
    )
    result.assert_outcomes(passed=6)


def test_a_loaded_stack_or_a_part_of_it_will_do(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
        import pytest, stackdsl
        part = stackdsl.load("web.py").only("web")
        @pytest.mark.stack(part)
        def test_it(stack_run):
            assert list(stack_run) == ["web"]
        """,
    )
    result.assert_outcomes(passed=1)


def test_only_a_run_whose_test_failed_leaves_its_folder(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKDSL_STATE", str(suite.path / "state"))
    result = run(
        suite,
        """
        import pytest
        @pytest.mark.stack("web.py")
        def test_good(stack_run): pass
        @pytest.mark.stack("web.py")
        def test_bad(stack_run): assert False
        """,
    )
    result.assert_outcomes(passed=1, failed=1)
    left = [one.name for one in (suite.path / "state" / "runs").iterdir()]
    assert len(left) == 1
    result.stdout.fnmatch_lines([f"all of their output: stackdsl logs {left[0]}"])
