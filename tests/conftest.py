"""What all tests share, and which of them are slow."""

import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# jsonschema, and so nbformat, knows addresses in other scripts by it. It takes a second to import; no test has any.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

#: Tests that start ranks, kernels, a browser, a submission or a script: folders, files, and tests by how they begin.
#: All others are fast, and `make check` runs them. One that is not listed here may not start a rank.
SLOW = (
    "browser/",
    "course/assignments/",
    "course/checks/test_order_check.py::test_the_grader_runs_it_on_real_ranks",
    "course/grading/",
    "course/isolation/",
    "eplb/test_recorded.py",
    "moe/test_grid.py",
    "moe/test_hiding.py",
    "moe/test_layer.py",
    "notebooks/test_assignments.py",
    "notebooks/test_capstone.py",
    "notebooks/test_lessons.py::test_runs_top_to_bottom",
    "overlap/test_overlap.py",
    "profiler/test_recorded.py",
    "ranks/",
    "runtime/",
    "schedules/test_torch_",
    "serving/",
    "show/explore/test_overlap_explorer.py::test_the_button",
    "show/explore/test_schedule_explorer.py::test_a_failing_run",
    "show/explore/test_schedule_explorer.py::test_the_button",
    "show/explore/test_serving_explorer.py",
    "test_cli.py::TestDoctor",
    "test_cli.py::TestRun",
    "test_cli_grade.py",
    "test_docstrings.py::test_examples[pipelab.moe",
    "test_docstrings.py::test_examples[pipelab.overlap",
    "test_docstrings.py::test_examples[pipelab.ranks",
    "test_docstrings.py::test_examples[pipelab.runtime",
    "test_docstrings.py::test_examples[pipelab.serving",
    "test_docstrings.py::test_examples[pipelab.show.plots.serving_plots",
    "test_documents.py::test_a_command_works",
    "test_documents.py::test_its_programs_run",
    "test_whole_numbers.py::test_before_ranks_are_started",
)

# A busy machine is no failure, and a property that failed once must fail again on the next machine.
settings.register_profile("pipelab", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("check", settings.get_profile("pipelab"), max_examples=10)  # where a test names no number
settings.load_profile("pipelab")

# Started in the background by a shell, pytest ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]):
    """Runs `pipelab` with arguments in this process: (exit status, stdout, stderr)."""
    from pipelab.cli import main

    def run_command(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main([*map(str, arguments)])
        except SystemExit as end:  # argparse's way
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run_command


@pytest.fixture(autouse=True)
def no_rank_in_a_fast_test(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr("pipelab.ranks.forkserver_client.ForkServer.fork", _refuse)


def _refuse(*_: object) -> None:
    raise AssertionError("a test that starts ranks is slow: it must be in SLOW, in tests/conftest.py")


def pytest_collection_finish() -> None:
    """Threads of torch that wait for a core which others use would take most of the time of small computations."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(SLOW):
            item.add_marker("slow")
    _execute_lessons_once(config, items)


def _execute_lessons_once(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the browser, if that is tested, too, and there is one. The first lesson is executed twice.

    What is asserted of its outputs and its time is the same there.
    """
    executions: dict[str, list[pytest.Item]] = {"browser": [], "notebooks": []}
    for item in items:
        if getattr(item, "originalname", "") == "test_runs_top_to_bottom_in_under_90_seconds":
            executions[item.path.parent.name].append(item)
    in_browser = {item.callspec.id for item in executions["browser"]}  # type: ignore[attr-defined]
    twice = [item for item in executions["notebooks"][1:] if item.callspec.id in in_browser]  # type: ignore[attr-defined]
    if not twice:
        return
    from tests.browser.page import find_chromium

    if find_chromium():
        config.hook.pytest_deselected(items=twice)
        items[:] = [item for item in items if item not in twice]
