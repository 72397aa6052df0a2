"""Signatures: whatever room a function is in, it is called in one way. docs/architecture.md tells the rule."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache, partial
from types import GenericAlias
from typing import Any

import pytest

from pipelab import build, compare_schedules, estimate_step, rebalance, serve, theory
from pipelab.eplb import contiguous, lognormal
from tests.test_changelog import TEXT
from tests.test_names import THINGS

#: Sizes, in the order in which they come by position; each is a whole number, and the same thing everywhere.
SIZES = (
    *("ranks", "num_ranks", "microbatches", "num_microbatches", "chunks"),
    *("replicas", "gpus", "nodes", "groups"),
    *("num_stages", "windows", "layers", "experts", "batch_size", "width", "heads", "hidden", "num_experts", "top_k"),
    *("sequence_length", "parts", "limit"),
)
#: What may be left out and is still given by position, as it is what the function is about. All else has its name.
WHAT = {
    *("schedule", "schedules", "stages", "batches", "timeline", "measured", "load", "loads", "plan", "after"),
    *("order", "balance", "share", "members", "columns", "received"),
}
#: As many things as you like, by position.
MANY = {"sources", "modules", "arguments"}
COSTS = "costs"
#: What these names stand for, everywhere.
ROLES = {
    **dict.fromkeys(SIZES, ("int", "int | None")),
    COSTS: ("Costs", "Costs | None"),
    "pace": ("Costs", "Costs | None"),
    "progress": ("Callable[[Progress], None] | None",),
    "cancel": ("threading.Event | None",),
    "seed": ("int",),
    "timeline": ("Timeline",),
    "timeout": ("float",),
    "stall": ("float",),
}
#: Names that are spelled in another way.
MISSPELLED = {
    "pace": re.compile(r"pac(e_.*|ing)|held_to|throttle|speed"),
    "progress": re.compile(r"(on_|report_)?(callback|progress_.*)|on_.*|hook|listener|observer"),
    "cancel": re.compile(r"stop|abort|event|cancel_.*|cancelled"),
    "a field of Costs": re.compile(r"(.*_)?(bandwidth|latency)(_.*)?"),
    "costs": re.compile(r"cost"),
    "microbatches": re.compile(r"(num_|n_)?(micro_batch(es)?|mb)"),
    "ranks": re.compile(r"world(_size)?|num_processes|n_ranks"),
    "replicas, gpus, nodes or groups": re.compile(r"(num|n)_(replicas|gpus|nodes|groups)"),
}
#: A time says what it is counted in; these are in seconds, as everywhere in Python.
TIME = re.compile(r"(^|_)(time|duration|delay|period|interval|rate|wait|deadline|elapsed)s?(_|$)")
UNITS = ("_s", "_ms", "_us", "_ns", "seconds")
#: Not called as others are, and why.
EXCEPTIONS = {
    "rebalance_experts": "it has the signature of deepseek-ai/EPLB",
}
#: Names that stand for more than one thing, and why that is no trap.
TWO_ROLES = {
    "before": "what was before: a window, a plan, or a segment",
    "end": "where a picture ends; where intervals do",
    "fn": "a student's function: each check asks for another",
    "limits": "those of sliders; those of a submission",
    "module": "any, or one in segments",
    "order": "a list of segments, or whatever makes one",
    "rows": "of a table; of a tensor",
    "schedule": "explorers begin with one by its name",
    "sizes": "at which a schedule is tried; of a plan",
    "weights": "whether a backward does their part; those of an expert",
    "width": "of a model, a whole number; of a picture, in inches; of text, in columns",
    "x": "a module's input; what a curve's axis shows",
}

Signatures = dict[str, inspect.Signature]


def is_record(thing: type) -> bool:
    """Its fields stand in the order in which they are written; exceptions are made by pipelab alone."""
    return is_dataclass(thing) or issubclass(thing, tuple | BaseException)


def collect(things: Mapping[tuple[str, str], Any]) -> Signatures:
    """Every public function, constructor and method of what rooms name; without self and cls."""
    found: Signatures = {}
    for (_, name), thing in things.items():
        if inspect.isclass(thing):
            own_and_inherited = {
                each: what
                for base in reversed(thing.__mro__)
                if base.__module__.startswith(("pipelab.", "tests."))
                for each, what in vars(base).items()
            }
            for each, what in own_and_inherited.items():
                method = inspect.unwrap(what.__func__ if isinstance(what, classmethod | staticmethod) else what)
                made = each == "__init__" and not is_record(thing)
                if inspect.isfunction(method) and (made or each == "__call__" or not each.startswith("_")):
                    signature, bound = inspect.signature(method), not isinstance(what, staticmethod)
                    own = [*signature.parameters.values()][bound:]
                    found[f"{thing.__module__}.{name}" + ("" if made else f".{each}")] = signature.replace(
                        parameters=own
                    )
        elif callable(thing) and not isinstance(thing, GenericAlias | Mapping):  # one with a decorator, or a partial
            found[f"{thing.__module__}.{name}"] = inspect.signature(thing)
    return found


SIGNATURES = collect(THINGS)
CHECKED = {name: each for name, each in SIGNATURES.items() if name.rpartition(".")[2] not in EXCEPTIONS}


def faults(signature: inspect.Signature, forward: bool = False) -> Iterator[str]:
    """What is not as the rule says. forward: of a module, whose tensors may be called as sizes are elsewhere."""
    last: tuple[int, int] = (0, 0)
    for name, parameter in signature.parameters.items():
        if name.startswith("_"):
            yield f"{name} is private"
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"{name} can't be given by name"
        if parameter.kind is parameter.VAR_POSITIONAL and name not in MANY:
            yield f"*{name} takes anything by position"
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        for right, wrong in MISSPELLED.items():
            if wrong.fullmatch(name):
                yield f"{name} is spelled {right}"
        if TIME.search(name) and not name.endswith(UNITS):
            yield f"{name} does not say in what it is counted"
        if name in ROLES and not forward and _kind(parameter) not in ROLES[name] and not _picture(name, parameter):
            yield f"{name} is {_kind(parameter)}; elsewhere it is {' or '.join(ROLES[name])}"
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            place = (1, SIZES.index(name)) if name in SIZES and not forward else (2 * (name == COSTS), 0)
            if parameter.default is not parameter.empty and not (place[0] or name in WHAT or forward):
                yield f"{name} may be left out, and has no name in the call"
            elif place < last:
                yield f"{name} comes too late"
            last = max(last, place)


def _kind(parameter: inspect.Parameter) -> str:
    kind = parameter.annotation
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _picture(name: str, parameter: inspect.Parameter) -> bool:
    """Is it the width of a picture, in inches?"""
    return name == "width" and parameter.kind is parameter.KEYWORD_ONLY and _kind(parameter) == "float"


def test_there_are_many():
    assert len(SIGNATURES) > 150
    assert {"pipelab.study.estimate.estimate_step", "pipelab.eplb.plan.Plan.from_map"} <= {*SIGNATURES}
    assert {each for each in EXCEPTIONS if not any(name.endswith(f".{each}") for name in SIGNATURES)} == set()


@pytest.mark.parametrize("name", CHECKED)
def test_it_is_called_as_others_are(name):
    assert [*faults(CHECKED[name], forward=name.endswith(".forward"))] == []


def test_a_name_stands_for_one_thing():
    """But for those that are listed, and all of those do not."""
    kinds: dict[str, list[set[str]]] = defaultdict(list)
    for function, signature in SIGNATURES.items():
        for name, parameter in signature.parameters.items():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or function.endswith(".forward"):
                continue
            text = re.sub(r"Literal\[[^]]*\]", "str", _kind(parameter)).replace("torch.Tensor", "Tensor")
            parts = {part for part in re.split(r" \| (?![^[]*\])", text) if part != "None"}
            alike = [each for each in kinds[name] if each & parts or "Any" in each | parts]
            kinds[name] = [each for each in kinds[name] if each not in alike] + [parts.union(*alike)]
    assert {name for name, found in kinds.items() if len(found) > 1} == {*TWO_ROLES}


# -- the checker itself ------------------------------------------------------------------------------------------------


def _sizes_first(ranks: int, schedule: str) -> None: ...
def _in_another_order(microbatches: int, ranks: int) -> None: ...
def _costs_before_sizes(schedule: str, costs: Costs, ranks: int) -> None: ...  # noqa: F821
def _an_option_by_position(load: Any, gpus: int, policy: str = "greedy") -> None: ...
def _a_size_in_floats(ranks: float) -> None: ...
def _a_pace_in_numbers(*, pace: float | None = None) -> None: ...
def _pace_ms(*, pace_ms: float = 10) -> None: ...
def _states(*, progress: Callable[[list], None] | None = None) -> None: ...
def _callback(*, callback: Callable[..., None]) -> None: ...
def _bandwidth(*, bandwidth: float) -> None: ...
def _time(*, wait: float) -> None: ...
def _anything(*options: Any) -> None: ...
def _hidden(load: Any, *, _fast: bool = False) -> None: ...
def _no_name(load: Any, /) -> None: ...
def _speed(*, speed: float) -> None: ...
def _hook(*, hook: Callable[..., None]) -> None: ...
def _link(*, latency_ms: float) -> None: ...
def _how_many(load: Any, num_gpus: int) -> None: ...


class _Parent:
    def inherited(self, load: Any, policy: str = "greedy") -> None: ...


class _Child(_Parent):
    def __call__(self, load: Any, policy: str = "greedy") -> None: ...
    @classmethod
    def of(cls, load: Any, policy: str = "greedy") -> None: ...
    @staticmethod
    def alone(load: Any, policy: str = "greedy") -> None: ...
    @cache  # noqa: B019
    def kept(self, load: Any, policy: str = "greedy") -> None: ...


def test_it_finds_every_function():
    hidden = {
        "partial": partial(_an_option_by_position, []),
        "kept": cache(_an_option_by_position),
        "Child": _Child,
    }
    found = collect({("room", name): thing for name, thing in hidden.items()})
    methods = {f"Child.{name}" for name in ("inherited", "__call__", "of", "alone", "kept")}
    assert {name.removeprefix(f"{__name__}.").removeprefix("functools.") for name in found} == {
        *("partial", "kept"),
        *methods,
    }
    for signature in found.values():
        assert [*faults(signature)] != []


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_sizes_first, "schedule comes too late"),
        (_in_another_order, "ranks comes too late"),
        (_costs_before_sizes, "ranks comes too late"),
        (_an_option_by_position, "policy may be left out, and has no name in the call"),
        (_a_size_in_floats, "ranks is float; elsewhere it is int or int | None"),
        (_a_pace_in_numbers, "pace is float | None; elsewhere it is Costs or Costs | None"),
        (_pace_ms, "pace_ms is spelled pace"),
        (_states, "progress is Callable[[list], None] | None; elsewhere it is Callable[[Progress], None] | None"),
        (_callback, "callback is spelled progress"),
        (_bandwidth, "bandwidth is spelled a field of Costs"),
        (_time, "wait does not say in what it is counted"),
        (_anything, "*options takes anything by position"),
        (_hidden, "_fast is private"),
        (_no_name, "load can't be given by name"),
        (_speed, "speed is spelled pace"),
        (_hook, "hook is spelled progress"),
        (_link, "latency_ms is spelled a field of Costs"),
        (_how_many, "num_gpus is spelled replicas, gpus, nodes or groups"),
    ],
)
def test_it_finds_what_is_called_otherwise(function, said):
    assert [*faults(inspect.signature(function))] == [said]


# -- old calls ---------------------------------------------------------------------------------------------------------

LOAD = lognormal(2, 64, seed=0)


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (lambda: estimate_step(["1f1b"], 16, 120), r"ranks must be a whole number; got \['1f1b'\]"),
        (lambda: estimate_step(["1f1b"]), r"ranks must be a whole number; got \['1f1b'\]"),
        (lambda: contiguous(LOAD, 16), r"on how many GPUs\? Such as contiguous\(load, gpus=16\)"),
        (lambda: contiguous(LOAD, 16, 80), "replicas must be 80 or more"),
        (lambda: compare_schedules(4, 8, ["1f1b"]), r"costs must be Costs, such as .*; got \['1f1b'\]"),
        (lambda: serve(LOAD, pace=150), "pace must be Costs, such as .*; got 150"),
    ],
)
def test_an_old_call_that_python_takes_is_not_misread(old, said):
    with pytest.raises(ValueError, match=said):
        old()


@pytest.mark.parametrize(
    "old",
    [
        lambda: rebalance(LOAD, 80, 16, 1, 1, "refined"),
        lambda: lognormal(2, 64, 1.5, seed=0),
        lambda: compare_schedules(4, 8, None, ["1f1b"]),
        lambda: theory("1f1b", 4, 8, 1, 2),
        lambda: build("interleaved", 4, 8, 3),
        lambda: serve(LOAD, pace_us=150),
    ],
)
def test_other_old_calls_are_none_to_python(old):
    with pytest.raises(TypeError, match="positional argument|unexpected keyword"):
        old()


# -- the changelog's calls ---------------------------------------------------------------------------------------------

TABLE = re.search(r"### How functions are called\n.*?\| was \| is \|\n\|---\|---\|\n(.*?)\n\n", TEXT, re.S)
CALLS = re.findall(r"`([^`]+\([^`]*\))`", "\n".join(row.split(" | ")[1] for row in TABLE[1].splitlines()))  # type: ignore[index]


@pytest.mark.parametrize("text", CALLS)
def test_what_the_changelog_writes_can_be_called(text):
    call = ast.parse(text.replace("…", "0"), mode="eval").body
    assert isinstance(call, ast.Call)
    name = ast.unparse(call.func)
    (signature,) = (
        each
        for function, each in SIGNATURES.items()
        if re.search(rf"\.({name}|{name[:1].upper()}\w*\.{name.rpartition('.')[2]})$", function)
    )
    signature.bind(*call.args, **{str(each.arg): each.value for each in call.keywords})
