import doctest
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from pipelab.models import batches, stdlib_text, text


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A folder in the place of the standard library."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path) if name == "stdlib" else None)
    stdlib_text.cache_clear()
    yield tmp_path
    stdlib_text.cache_clear()


def test_the_text_is_the_standard_librarys_sources():
    folder = Path(sysconfig.get_path("stdlib"))
    sources = {file.read_bytes().replace(b"\r\n", b"\n") for file in text._sources(folder)}
    assert stdlib_text(20_000) == stdlib_text()[:20_000]
    assert any(stdlib_text().startswith(source) for source in sources)
    for file in text._sources(folder):
        assert file.relative_to(folder).parts[0].removesuffix(".py") in sys.stdlib_module_names
        assert not {"test", "idlelib", "site-packages"}.intersection(file.parts)


def test_tests_installed_packages_and_folders_that_are_no_packages_are_left_out(library):
    for name in ("site-packages/numpy/__init__", "test/__init__", "idlelib/__init__", "json/tests/a", "mine", "wave/a"):
        path = library / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no")
    (library / "json" / "__init__.py").write_text("B")
    (library / "json" / "tool.py").write_text("C")
    (library / "json" / "data.txt").write_text("no")
    (library / "abc.py").write_bytes(b"A\r\n")
    (library / "os.py").write_text("D")
    assert stdlib_text() == b"A\nBCD"


def test_no_more_than_the_limit(library):
    (library / "abc.py").write_text("0123456789")
    (library / "os.py").write_text("0123456789")
    assert stdlib_text(15) == b"012345678901234"
    with pytest.raises(ValueError, match="at least 1; got 0"):
        stdlib_text(0)


def test_missing_sources_are_named_with_the_folder(library):
    with pytest.raises(FileNotFoundError, match="comes without them") as error:
        batches(2, 8)
    assert str(library) in str(error.value)


def test_a_passage_longer_than_the_text_is_refused(library):
    (library / "abc.py").write_text("0123456789")
    inputs, targets = batches(3, 9)[0]
    assert inputs.tolist() == [list(b"012345678")] * 3
    assert targets.tolist() == [list(b"123456789")] * 3
    with pytest.raises(ValueError, match="less than the text's 10 bytes; got 10"):
        batches(3, 10)


def test_targets_are_the_bytes_that_follow():
    everything = stdlib_text()
    for inputs, targets in batches(8, 32, steps=3, seed=5):
        assert inputs.shape == targets.shape == (8, 32)
        assert inputs.dtype == targets.dtype == torch.int64
        assert inputs.is_contiguous() and targets.is_contiguous()
        for passage, following in zip(inputs.tolist(), targets.tolist(), strict=True):
            assert bytes([*passage, following[-1]]) in everything
            assert passage[1:] == following[:-1]


def test_batches_depend_on_the_seed_alone():
    one, two, other = batches(4, 16, seed=1), batches(4, 16, steps=2, seed=1), batches(4, 16, seed=2)
    assert torch.equal(one[0][0], two[0][0])
    assert not torch.equal(two[0][0], two[1][0])
    assert not torch.equal(one[0][0], other[0][0])


def test_batches_leave_torchs_global_random_state_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = batches(4, 16)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(batches(4, 16)[0][0], first[0][0])


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"sequence_length": 0}, {"steps": 0}, {"batch_size": 2.5}])
def test_wrong_sizes_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} must be .*; got {value}"):
        batches(**{"batch_size": 4, "sequence_length": 16, **wrong})


def test_examples():
    assert doctest.testmod(text).failed == 0
