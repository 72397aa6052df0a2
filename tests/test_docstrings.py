"""Every example in a docstring does what it says."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import pipelab

MODULES = [each.name for each in pkgutil.walk_packages(pipelab.__path__, "pipelab.") if each.name != "pipelab.__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(examples) >= 12
