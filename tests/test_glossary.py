"""The glossary: every term has a sentence or two, a source and the lesson that introduces it; links lead somewhere."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "docs"
TEXT = (FOLDER / "glossary.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Term:
    """One entry: its heading, its definition, and the two lines below that, each on one line."""

    name: str
    definition: str
    source: str
    lesson: str

    @property
    def anchor(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def lessons(self) -> list[tuple[str, Path]]:
        """The text and the file of each link."""
        return [(text, FOLDER / target) for text, target in LINK.findall(self.lesson)]


def terms() -> list[Term]:
    """All entries. One that is not a heading, a paragraph, a source and a lesson fails here, and is named."""
    found = []
    for entry in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        shape = r"(.+)\n\n(.+?)\n\n- Source: (.+?)\n- Lesson: (.+?)\n*"
        match = re.fullmatch(shape, entry, re.DOTALL)
        assert match, f"not a definition, a source and a lesson: {entry}"
        found.append(Term(*(" ".join(part.split()) for part in match.groups())))
    return found


TERMS = terms()
EACH = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)


def test_some_fifty_terms_in_alphabetical_order_none_twice() -> None:
    names = [term.name for term in TERMS]
    assert 38 <= len(names) <= 50
    assert names == sorted(set(names), key=lambda name: name.replace("-", " "))


@EACH
def test_its_heading_is_its_anchor_wherever_it_is_read(term: Term) -> None:
    """GitHub makes an anchor of small letters and hyphens, JupyterLab keeps capitals and all signs but spaces."""
    assert re.fullmatch(r"[a-z]+([ -][a-z]+)*", term.name)


@EACH
def test_its_definition_is_a_sentence_or_two(term: Term) -> None:
    assert 1 <= len(re.findall(r"[.?!]\)?(?= |$)", term.definition)) <= 2
    assert re.match(r"[A-Z*`]", term.definition) and re.search(r"[.?!]\)?$", term.definition)
    assert len(term.definition) >= 40 and "- " not in term.definition


@EACH
def test_its_source_is_a_paper_a_project_or_a_name_in_pipelab(term: Term) -> None:
    papers = re.findall(r"\[arXiv (\d{4}\.\d{5})\]\((\S+?)\)", term.source)
    assert all(address == f"https://arxiv.org/abs/{number}" for number, address in papers)
    assert len(re.findall(r"arXiv", term.source)) == len(papers), "with its number, linked"
    names = re.findall(r"`(pipelab\.[\w.]+)`", term.source)
    for name in names:
        pkgutil.resolve_name(name)  # AttributeError or ImportError where there is no such thing
    projects = [target for _, target in LINK.findall(term.source) if target.startswith("https://")]
    assert names or projects or re.search(r"\*[^*]+\*", term.source), "a name, an address or a title"


@EACH
def test_its_lesson_is_there_and_called_so(term: Term) -> None:
    assert term.lessons
    for text, file in term.lessons:
        assert file.parent == FOLDER / "../notebooks"
        title = nbformat.read(file, as_version=4).cells[0].source.splitlines()[0]
        assert title == f"# {text}"


def test_links_within_the_glossary_lead_somewhere() -> None:
    anchors = {f"#{term.anchor}" for term in TERMS}
    inner = {target for _, target in LINK.findall(TEXT) if target.startswith("#")}
    assert inner and inner <= anchors
