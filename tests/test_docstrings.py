"""Every example in a docstring does what it says."""

import doctest
import pkgutil
from importlib import import_module

import pytest

ROOMS = (
    "ir",
    "schedules",
    "timeline",
    "profiler",
    "simulator",
    "study",
    "models",
    "ranks",
    "autograd",
    "overlap",
    "runtime",
    "moe",
    "eplb",
    "serving",
    "show",
    "course",
)


def modules():
    for room in (f"pipelab.{name}" for name in ROOMS):
        yield room
        yield from (module.name for module in pkgutil.walk_packages(import_module(room).__path__, f"{room}."))


MODULES = [*modules()]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(examples) >= 12
