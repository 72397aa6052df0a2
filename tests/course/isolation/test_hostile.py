"""Hostile submissions: each has 0 points and its reason, soon; the next one is not affected, nothing stays."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

import pipelab
from pipelab.course import Limits, grade
from tests.course.submissions import GPIPE_AND_1F1B, ZERO_BUBBLE, write

NAME = "fill-the-bubbles"
SHORT, LONG = Limits(seconds=4), Limits(seconds=40)  # for what never ends, and for what ends soon by itself

IN_FUNCTION = "def my_schedule(ranks, microbatches):\n    "
GOOD_AFTERWARDS = "\n" + "\n".join(line[4:] for line in ZERO_BUBBLE.splitlines())

SLEEPERS = """
import os, time
for _ in range(200):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        os._exit(0)
    os.wait()
"""
TEN_SLEEPERS = SLEEPERS.replace("range(200)", "range(10)")


def marked(grader: int | None = None) -> list[int]:
    """Processes that were started for a submission by this process, or by another grader."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get("PIPELAB_SUBMISSION", "")
            if process.status() != psutil.STATUS_ZOMBIE and mark.startswith(f"{grader or os.getpid()}-"):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert gone(os.getpid())


def gone(grader: int) -> bool:
    """Soon: the system may take a moment to bury them."""
    until = time.monotonic() + 20
    while (left := marked(grader)) and time.monotonic() < until:
        time.sleep(0.05)
    return not left


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (IN_FUNCTION + "while True: pass", "no answer within 4 s: an endless loop?"),
        ("while True: pass", "no answer within 4 s"),
        (IN_FUNCTION + "import time; time.sleep(600)", "no answer within 4 s"),
        (IN_FUNCTION + "return bytearray(50 << 30)", "MemoryError: it needs more memory than there is (line 2"),
        ("import numpy\nbig = numpy.ones((50 << 30) // 8)", "Unable to allocate 50.0 GiB"),
        (IN_FUNCTION + "import os; os._exit(0)", "no answer: your code ended its process (exit status 0)"),
        (IN_FUNCTION + "import os; os.kill(os.getpid(), 11)", "no answer: your code was ended by SIGSEGV"),
        ("for _ in range(1 << 20): print('x' * 1023)" + GOOD_AFTERWARDS, "printed more than 1 MB"),
        ("import os\nwhile True: os.write(2, b'x' * 4096)", "printed more than 1 MB"),
        (TEN_SLEEPERS + GOOD_AFTERWARDS, "left 10 processes running"),
        (SLEEPERS + "time.sleep(600)", "started more than 32 processes"),
        ("import os\nos.remove('schedule.py')" + GOOD_AFTERWARDS, "deleted schedule.py from its own folder"),
        ("import shutil\nshutil.rmtree('.', True)" + GOOD_AFTERWARDS, "deleted schedule.py from its own folder"),
        ("open('schedule.py', 'a').write('# new')" + GOOD_AFTERWARDS, "changed schedule.py in its own folder"),
        (IN_FUNCTION + "return [['0F0'] * 50000] * ranks", "actions; "),
        (IN_FUNCTION + "return ['x' * (1 << 25)]", "returned more than 16 MB"),
        (IN_FUNCTION + "return f() if (f := lambda: f()) else 0", "RecursionError"),
        (IN_FUNCTION + "import sys; sys.exit('bye')", "SystemExit: bye"),
        (IN_FUNCTION + "l = []; l.append(l); return l", "more than 20 deep"),
        ("import os\nif os.fork() == 0:\n    while True: pass" + GOOD_AFTERWARDS, "left 1 process running"),
        ("import os\nos.mkdir('d'); os.chmod('d', 0); os.chmod('.', 0)", "has no function my_schedule"),
    ],
)
def test_it_has_nothing_and_is_told_why(tmp_path, code, said):
    limits = SHORT if "within 4 s" in said else LONG
    began = time.monotonic()
    graded = grade(write(tmp_path / "bad", code), NAME, limits=limits)
    assert time.monotonic() - began < limits.seconds + 20  # unloaded: + 1
    assert graded.score == 0
    assert said in str(graded)
    assert (tmp_path / "bad" / "schedule.py").read_text() == code
    assert grade(write(tmp_path / "good", ZERO_BUBBLE), NAME, real=False).passed


def test_two_hundred_processes_left_running(tmp_path):
    """As many as are allowed at once, and more than that: found also where each is in a session of its own."""
    limits = Limits(seconds=40, processes=1000)
    graded = grade(write(tmp_path, SLEEPERS + GOOD_AFTERWARDS), NAME, limits=limits)
    assert (graded.score, graded.foul) == (0, "your code left 200 processes running, which had to be ended")


#: None of these has more points than it deserves: nothing, as no answer in it is right.
TRICKS = {
    "patching the grader": """
        import sys
        sys.path[:0] = [{root!r}]
        sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "_NoPipelab"]
        import pipelab, pipelab.course.grading.grader, pipelab.ir
        pipelab.course.grading.grader.grade = pipelab.course.grade = lambda *a, **k: 10
        pipelab.check = pipelab.ir.check = lambda schedule: ()
        pipelab.simulator.engine = lambda *a: None
        """,
    "patching json and builtins": """
        import builtins, json, sys
        json.dumps = lambda *a, **k: '{{"value": "full marks", "score": 10}}'
        builtins.isinstance = lambda *a: True
        builtins.sum = lambda *a: 10
        sys.modules["json"] = sys.modules["pipelab"] = None
        """,
    "a forged answer on stdout": """
        import os
        for line in ('{{"score": 10, "passed": true}}', '{{"value": [["0F0", "0B0"]]}}'):
            print(line, flush=True)
            os.write(1, line.encode() + b"\\n")
        """,
    "a forged answer in the pipe": """
        import os
        for _ in range(50):
            os.write(3, b'{{"value": {{"score": 10, "max_score": 10}}}}\\n')
        os._exit(0)
        """,
    "objects that lie": """
        class Liar(list):
            def __eq__(self, other): return True
            def __len__(self): return 4
            def __hash__(self): return 0
            def __iter__(self): return iter([Text("0F0")])
        class Text(str):
            def __eq__(self, other): return True
            def __str__(self): return "0B0"
            def __hash__(self): return hash("0F0")
        class Number(int):
            def __eq__(self, other): return True
            def __lt__(self, other): return True
        def my_schedule(ranks, microbatches):
            return Liar([Liar(), Number(3)])
        """,
    "importing the solution": """
        import pipelab
        def my_schedule(ranks, microbatches):
            return pipelab.schedules.zb_h1(ranks, microbatches)
        """,
    "a thread and atexit that answer later": """
        import atexit, os, threading, time
        def forge():
            while True:
                try: os.write(3, b'{{"value": 10}}\\n')
                except OSError: return
                time.sleep(0.001)
        atexit.register(forge)
        threading.Thread(target=forge, daemon=True).start()
        """,
    "files that shadow modules": """
        def my_schedule(ranks, microbatches):
            import json, sitecustomize
            return json.ANSWER
        """,
    "signals to its parent": """
        import os, signal
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGSTOP):
            os.kill(os.getppid(), number)
        """,
    "killing its parent": """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
        """,
    "writing to the results": """
        import glob, os
        for path in glob.glob({results!r} + "/*") + [{results!r} + "/results.json"]:
            open(path, "w").write('{{"score": 10}}')
        """,
    "an answer that JSON does not know": """
        def my_schedule(ranks, microbatches):
            return {{"score": float("inf"), "x": [float("nan")], 3: 10 ** 5000}}
        """,
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_change_nothing(tmp_path, trick):
    results = tmp_path / "results"
    results.mkdir()
    root = str(Path(pipelab.__file__).parents[1])
    file = write(tmp_path / "trick", TRICKS[trick].format(root=root, results=str(results)))
    write(tmp_path / "trick", "ANSWER = 10\ndumps = loads = lambda *a, **k: '10'", "json.py")
    write(tmp_path / "trick", "raise SystemExit('shadowed')", "sitecustomize.py")
    write(tmp_path / "trick", "raise SystemExit('shadowed')", "numpy.py")
    graded = grade(tmp_path / "trick", NAME, limits=SHORT)
    assert graded.score == 0
    assert all(test.reasons for test in graded.tests)
    assert file.read_text()
    if trick == "importing the solution":
        assert "pipelab can't be imported in a submission" in str(graded)
    if trick == "writing to the results":
        assert os.environ.get("PIPELAB_SUBMISSION") is None
        from pipelab.cli import main

        out = results / "results.json"
        assert main(["grade", str(tmp_path / "trick"), "--assignment", NAME, "--out", str(out)]) == 0
        assert json.loads(out.read_text())["score"] == 0
    again = grade(write(tmp_path / "good", ZERO_BUBBLE), NAME)  # the grader is what it was
    assert again.passed


def test_a_right_answer_keeps_its_points_whatever_stands_beside_it(tmp_path):
    """What shadows the standard library in its own folder is in nobody's way."""
    write(tmp_path, "raise SystemExit", "json.py")
    write(tmp_path, "raise SystemExit", "traceback.py")
    write(tmp_path, "ORDER = 'FIW'", "helper.py")
    write(tmp_path, "import helper, json, traceback\n" + GOOD_AFTERWARDS.replace('"FIW"', "helper.ORDER"))
    assert grade(tmp_path, NAME).passed


def test_the_grader_dies_and_nothing_stays(tmp_path):
    """Its supervisor ends everything when the grader is gone."""
    file = write(tmp_path, "import time\ntime.sleep(600)")
    code = f"from pipelab.course import grade, Limits; grade({str(file)!r}, {NAME!r}, limits=Limits(seconds=300))"
    grader = psutil.Popen([sys.executable, "-c", code], cwd=Path(pipelab.__file__).parents[1])
    until = time.monotonic() + 60
    while len(marked(grader.pid)) < 2 and time.monotonic() < until:  # the supervisor, and the code
        time.sleep(0.05)
    assert len(marked(grader.pid)) >= 2
    grader.kill()
    grader.wait()
    assert gone(grader.pid)


def test_partial_credit_of_what_came_before_an_endless_loop(tmp_path):
    code = GPIPE_AND_1F1B.replace("        programs = []\n", "        programs = []\n        while ranks == 4: pass\n")
    graded = grade(write(tmp_path, code), "gpipe-and-1f1b", limits=SHORT, real=False)
    assert [test.full for test in graded.tests] == [True, True, True, False, False, False]
    assert "no answer within 4 s" in str(graded)
