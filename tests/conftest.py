"""What all tests share."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure, and a property that failed once must fail again on the next machine.
settings.register_profile("pipelab", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A lesson is executed once: in the browser, if that is tested, too, and there is one. The first is executed twice.

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
