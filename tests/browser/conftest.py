"""One JupyterLab and one Chromium for all browser tests of a module."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.lab import Lab
from tests.browser.page import Browser, find_chromium

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ADVICE = (
    "the browser tests need Chromium or Chrome: `apt install chromium`, `brew install --cask chromium` "
    "or `.venv/bin/playwright install chromium`; or set CHROMIUM to its path"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium; without one the tests are skipped, but in CI they fail."""
    executable = find_chromium()
    if executable is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(ADVICE)
    with Browser(executable) as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab over a copy of the lessons."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(NOTEBOOKS, folder)
    with Lab(folder) as lab:
        yield lab
