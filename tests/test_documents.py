"""What README.md and the other pages show is so: their code runs, their commands work, names in them are there."""

from __future__ import annotations

import ast
import gzip
import inspect
import re
import shlex
from pathlib import Path

import matplotlib
import pytest

import pipelab
from pipelab.cli import _parser
from pipelab.eplb import zipf
from tests.course.submissions import GOOD, write
from tests.profiler.traces import overlapped
from tests.test_changelog import resolve

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in (".", "data/**", "docs", "notebooks/**")
    for path in sorted(ROOT.glob(f"{folder}/*.md"))
}
BLOCKS = [
    (page, language, code)
    for page, text in PAGES.items()
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]
# Not CHANGELOG.md's, which speaks of old names: it has a test of its own.
INLINE = sorted(
    {
        (page, " ".join(code.split()))
        for page, text in PAGES.items()
        for code in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
        if page != "CHANGELOG.md"
    }
)

#: What the pages tell a reader to do and no test does, and why. Arguments for pipelab are parsed all the same.
NOT_RUN = {
    "make lab": "opens a browser: tests/browser",
    "make check": "runs a part of this",
    "make test": "runs this",
    "torchrun --nproc-per-node 4 -m pipelab run --schedule 1f1b": "tests/ranks/test_torchrun.py has it",
    "torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m pipelab run --steps 10": (
        "needs two machines"
    ),
    "pip install -c constraints.txt ./pipelab": "installs",
    'pip install "git+https://…/pipelab@COMMIT"': "installs",
    "docker build -t pipelab .": "needs docker",
    "docker run --rm --network none --memory 4g --cpus 2 --pids-limit 512 --read-only --tmpfs /tmp:size=1g -v "
    '"$PWD/submissions:/submissions:ro" -v "$PWD/results:/results" pipelab /submissions --assignment dualpipe --out '
    "/results": "needs docker",
    "apt-get update && apt-get install -y python3-venv": "Gradescope's machine",
    "python3 -m venv /autograder/env": "Gradescope's machine",
    "/autograder/env/bin/pip install -c /autograder/source/pipelab/constraints.txt /autograder/source/pipelab": (
        "Gradescope's machine"
    ),
    "/autograder/env/bin/python -m pipelab grade /autograder/submission --assignment dualpipe --hints 1 --out "
    "/autograder/results/results.json": "Gradescope's machine",
    "pip install nbgrader": "installs",
    "nbgrader generate_assignment fill-the-bubbles": "tests/notebooks/test_assignments.py has it",
    "nbgrader autograde fill-the-bubbles": "tests/notebooks/test_assignments.py has it",
    **{
        f"python data/expert_loads/record.py --balance {way}": "minutes; tests/eplb/test_recorded.py has it, shorter"
        for way in ("none", "auxiliary", "bias")
    },
}


def commands(code: str) -> list[str]:
    """The commands of a block of shell, without comments; one that goes on in the next line is one."""
    lines = code.replace("\\\n", " ").splitlines()
    spoken = (re.sub(r"(^|\s+)#.*", "", line) for line in lines)
    return [" ".join(line.split()) for line in spoken if line.strip()]


COMMANDS = [(page, command) for page, language, code in BLOCKS if language == "sh" for command in commands(code)]
PROGRAMS = {
    page: "\n".join(code for there, language, code in BLOCKS if (there, language) == (page, "python")) for page in PAGES
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that commands and programs of the pages read, and where they may write."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.json.gz").write_bytes(gzip.compress(overlapped().text().encode()))
    (tmp_path / "loads.csv").write_text("\n".join(",".join(map(str, layer)) for layer in zipf(2, 256, seed=0)))
    write(tmp_path, GOOD["fill-the-bubbles"]["schedule.py"])
    return tmp_path


def test_no_block_hides():
    """One that is indented, or in a language that nobody runs, would."""
    fences = sum(line.lstrip().startswith(("```", "~~~")) for text in PAGES.values() for line in text.splitlines())
    assert fences == 2 * len(BLOCKS)
    assert {language for _, language, _ in BLOCKS} == {"python", "sh", "dockerfile"}  # the last needs docker
    indented = [line for text in PAGES.values() for line in re.findall(r"^ {4,}(.+)", text, re.MULTILINE)]
    assert [line for line in indented if re.match(r">>>|\$ |(from|import|python|pip|make) ", line)] == []


@pytest.mark.parametrize("page", [page for page, code in PROGRAMS.items() if code])
def test_its_programs_run(page, here):
    """Those of a page build on each other."""
    matplotlib.use("Agg")
    exec(compile(PROGRAMS[page], page, "exec"), {"__name__": page})


@pytest.mark.parametrize(("page", "spoken"), COMMANDS)
def test_a_command_works(page, spoken, here, command):
    if spoken in NOT_RUN:
        for said in re.findall(r" -m pipelab (.*)", spoken):
            _parser().parse_args(shlex.split(said))
        return
    assert spoken.startswith("python -m pipelab "), "say in NOT_RUN why no test runs it"
    arguments = shlex.split(spoken)[3:]
    options = _parser().parse_args(arguments)
    if "assignment" in options and not options.submission.exists():
        for name, code in GOOD[options.assignment].items():
            write(here / options.submission / "ann", code, name)
    status, _, said = command(*arguments)
    assert status == 0, said
    assert [path for path in vars(options).values() if isinstance(path, Path) and not path.exists()] == []


def test_the_readme_names_the_front_door():
    grammar = PAGES["README.md"].partition("That is the grammar.")[2].partition("Rooms hold the rest")[0]
    assert {*re.findall(r"`(\w+)`", grammar)} == {*pipelab.__all__}


def test_what_is_not_run_is_there():
    assert {*NOT_RUN} <= {spoken for _, spoken in COMMANDS}


@pytest.mark.parametrize(
    ("page", "code"), [each for each in INLINE if re.match(r"python -m pipelab \w+ .*--", each[1])]
)
def test_a_command_in_the_text_is_understood(page, code):
    _parser().parse_args(shlex.split(code)[3:])


@pytest.mark.parametrize(("page", "code"), [each for each in INLINE if "pipelab." in each[1]])
def test_a_dotted_name_is_there(page, code):
    for name in re.findall(r"(?<![\w./@-])pipelab(?:\.\w+)+(?![\w/])", code):
        resolve(name)


@pytest.mark.parametrize(("page", "code"), [each for each in INLINE if re.match(r"[\w.]+\(.*\)$", each[1])])
def test_a_call_has_arguments_that_are_taken(page, code):
    """Of the front door's verbs, and of what a room has: not of methods, nor of what students write."""
    call = ast.parse(code.replace("…", "..."), mode="eval").body
    assert isinstance(call, ast.Call)
    name = ast.unparse(call.func).removeprefix("pipelab.")
    if name.partition(".")[0] in dir(pipelab):
        asked = inspect.signature(resolve(f"pipelab.{name}"))
        some = any(isinstance(each, ast.Constant) and each.value is ... for each in call.args)
        bind = asked.bind_partial if some else asked.bind
        bind(*call.args, **{str(each.arg): each.value for each in call.keywords})
