"""The doctor finds out what is the matter, and says so in a terminal and in a notebook."""

import torch.distributed as dist

from pipelab.cli import FAILED, OK, main
from pipelab.ranks import RankDied, Ranks
from pipelab.ranks.doctor import Finding, Findings, examine

FINDINGS = Findings([Finding("cores", True, "2"), Finding("disk", False, "0 < 1 byte", "empty <the bin>")])


def test_prints_every_finding_and_what_to_do():
    first, second, remedy = str(FINDINGS).splitlines()
    assert first.split() == ["ok", "cores", "2"]
    assert second.split(maxsplit=2) == ["NO", "disk", "0 < 1 byte"]
    assert remedy.split(maxsplit=1) == ["->", "empty <the bin>"]


def test_is_a_table_in_a_notebook():
    html = FINDINGS._repr_html_()
    assert html.count("<tr>") == 2
    assert html.count("✓") == html.count("✗") == 1
    assert "0 &lt; 1 byte" in html and "empty &lt;the bin&gt;" in html


def test_this_machine_starts_ranks(capsys):
    findings = {finding.subject: finding for finding in examine(2)}
    assert findings["ranks"].fine and findings["ranks"].text.startswith("2 start in")
    assert main(["doctor"]) == OK
    assert "4 start in" in capsys.readouterr().out


def test_ranks_that_do_not_start_are_a_finding(monkeypatch, capsys):
    def died(*_: object, **__: object) -> None:
        raise RankDied(1, -9)

    monkeypatch.setattr(Ranks, "run", died)
    assert main(["doctor"]) == FAILED
    lines = capsys.readouterr().out.splitlines()
    (place,) = (i for i, line in enumerate(lines) if line.startswith("NO"))
    assert "4 ranks don't start: RankDied: rank 1 was killed by SIGKILL" in lines[place]
    assert "loopback" in lines[place + 1]


def test_torch_without_ranks_is_a_finding(monkeypatch):
    monkeypatch.setattr(dist, "is_available", lambda: False)
    findings = {finding.subject: finding for finding in examine()}
    assert "ranks" not in findings
    assert not findings["torch"].fine and "torch.distributed" in findings["torch"].remedy
