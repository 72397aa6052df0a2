"""The files around the code agree with it and with each other."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_NAME = {"torch": "pytorch"}  # what conda-forge calls it
MAX_FILE_BYTES = 1_500_000

TORCH_ROOMS = {"models", "ranks", "autograd", "overlap", "runtime", "moe", "serving", "show", "data", "course"}


def requirements(texts: list[str]) -> dict[str, SpecifierSet]:
    parsed = [Requirement(text) for text in texts]
    return {canonicalize_name(each.name): each.specifier for each in parsed}


def tracked_files() -> list[Path]:
    """What git tracks; without git (a release's archive) what lies here, tools' folders left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        made = re.compile(r"(^|/)(\.|artefacts|build|dist|__pycache__|\w+\.egg-info)")
        files = [path for path in ROOT.rglob("*") if not made.search(path.relative_to(ROOT).as_posix())]
    return [path for path in files if path.is_file()]


def test_environment_yml_says_what_pyproject_says() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert environment["channels"][0] == "conda-forge"
    assert pip == [["-e ."]]  # pipelab itself, from this checkout

    wanted = requirements(PROJECT["dependencies"] + EXTRAS["lab"])
    wanted = {CONDA_NAME.get(name, name): bounds for name, bounds in wanted.items()}
    python = [entry.removeprefix("python=") for entry in conda if entry.startswith("python=")]
    assert requirements([entry for entry in conda if not entry.startswith("python=") and entry != "pip"]) == wanted
    assert Version(python[0]) in SpecifierSet(PROJECT["requires-python"])


def test_constraints_pin_what_pyproject_asks_for() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {}
    for name, bounds in requirements(lines).items():
        assert [each.operator for each in bounds] == ["=="], f"{name} is not pinned"
        pins[name] = Version(next(iter(bounds)).version)
    assert pins["torch"] == Version("2.13.0")  # and not +cpu: PyPI gives Linux the CUDA build
    for name, bounds in requirements(
        [*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["test"], *EXTRAS["grade"]]
    ).items():
        assert name in pins, f"constraints.txt does not pin {name}"
        assert pins[name] in bounds, f"constraints.txt pins {name} {pins[name]}, pyproject.toml asks for {bounds}"


def imports_of(file: Path) -> Iterator[str]:
    """Full names of all modules and names that a file imports, at any depth of nesting, but for the type checker's."""
    package = file.relative_to(ROOT).parent.parts

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(file.read_text()))


def room_files() -> list[tuple[str, Path]]:
    return [(file.relative_to(ROOT / "pipelab").parts[0], file) for file in sorted(ROOT.glob("pipelab/*/**/*.py"))]


def test_heavy_packages_are_imported_only_where_they_belong() -> None:
    for room, file in room_files():
        tops = {name.split(".")[0] for name in imports_of(file)}
        where = file.relative_to(ROOT)
        assert room == "show" or not tops & {"matplotlib", "ipywidgets", "IPython"}, where
        assert room in TORCH_ROOMS or "torch" not in tops, where


def test_everything_imported_is_asked_for() -> None:
    known = {name.replace("-", "_") for name in requirements(PROJECT["dependencies"])} | {"pipelab"}
    known |= {"IPython", "traitlets"}  # they come with ipywidgets
    files = [*(file for _, file in room_files()), *ROOT.glob("pipelab/*.py")]
    imported = {name.split(".")[0] for file in files for name in imports_of(file)}
    assert imported - set(sys.stdlib_module_names) <= known


def test_import_is_light() -> None:
    code = "import sys, json, pipelab; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)))
    assert not loaded & {"torch", "matplotlib", "ipywidgets", "numpy"}


def test_import_takes_less_than_a_fifth_of_a_second() -> None:
    """Of the processor's time: on a busy machine the clock on the wall tells of others."""
    code = "import time; start = time.process_time(); import pipelab; print(time.process_time() - start)"
    assert min(float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)) for _ in range(5)) < 0.2


def test_make_help_lists_the_targets() -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    text = subprocess.check_output(["make", "--no-print-directory"], cwd=ROOT, text=True, env=env)
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert re.findall(r"^make (\w+) +\w", text, re.MULTILINE) == phony[1].split()


def test_command_line_is_installed_as_pipelab() -> None:
    assert PROJECT["scripts"] == {"pipelab": "pipelab.cli:main"}
    from pipelab.cli import main

    assert callable(main)


def test_an_installed_pipelab_has_the_data(tmp_path: Path) -> None:
    """Build a wheel, unpack it, and ask it far from the checkout."""
    pytest.importorskip("setuptools", minversion="77")
    for folder in ("pipelab", "data"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / "source" / folder, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    code = "import sys, setuptools.build_meta as build; build.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=tmp_path / "source", check=True, capture_output=True)
    (wheel,) = map(zipfile.ZipFile, tmp_path.glob("*.whl"))
    data = [path.relative_to(ROOT) for path in (ROOT / "data").rglob("*") if path.suffix in (".csv", ".json", ".py")]
    packed = {f"pipelab/{path.as_posix()}" for path in data}
    assert {name for name in wheel.namelist() if name.startswith("pipelab/data/")} == packed
    wheel.extractall(tmp_path / "installed")
    code = "import pipelab; print(pipelab.__file__, pipelab.Costs.deepseek_v3().overlapped); "
    code += "from pipelab.eplb import RECORDINGS, recorded_loads; "
    code += "print(*(len(recorded_loads(each).windows) for each in RECORDINGS))"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    said = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=env, text=True)
    assert said.split() == [str(tmp_path / "installed" / "pipelab" / "__init__.py"), "129.012", "40", "40", "40"]


def test_no_tracked_file_is_large() -> None:
    assert [path.name for path in tracked_files() if path.stat().st_size > MAX_FILE_BYTES] == []


def test_nothing_names_the_machine_it_was_made_on() -> None:
    """Notebooks' outputs and recorded data above all. The words are put together here, so that this file passes."""
    folders = ["work", "root", "opt", "tmp", "home", "Users", "private", "var/folders"]
    words = "|".join(rf"(?<![\w.~]){'/'}{folder}/[\w.-]" for folder in folders)
    words += "|" + "|".join([r"\.\./" + "shared", "issue" + r" \d{1,2}\b", "co-authored" + "-by"])
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if path.suffix == ".ipynb":  # base64 pictures may spell anything
            text = re.sub(r'"image/png": "[^"]*"', "", text)
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in re.finditer(words, text, re.IGNORECASE)]
    assert found == []
