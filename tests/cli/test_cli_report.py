"""``mesa report`` and ``--mesa-report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ledger_bodies import verdict

from pytest_mesa.cli import main
from pytest_mesa.ledger.append import append

if TYPE_CHECKING:
    from mesa_projects import Project

Capture = pytest.CaptureFixture[str]


def test_report_writes_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 1
    assert "there is no such ledger" in capsys.readouterr().err
    append(tmp_path / "ledger.jsonl", verdict())
    assert main(["report"]) == 0
    assert capsys.readouterr().out == "wrote report.html\n"
    first = (tmp_path / "report.html").read_bytes()
    assert b"knapsack-no-dp" in first
    assert main(["report", "--ledger", "ledger.jsonl", "--output", "out/page.html"]) == 0
    assert (tmp_path / "out" / "page.html").read_bytes() == first
    (tmp_path / "file").write_text("")
    assert main(["report", "--output", "file/page.html"]) == 1
    assert "file/page.html: can't be written" in capsys.readouterr().err


def test_a_run_leaves_the_report_that_the_command_writes(project: Project) -> None:
    project.spec("one")
    result = project.pytest("--mesa-report=site/report.html")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["results  RESULTS.md", "report   site/report.html"])
    page = (project.root / "site" / "report.html").read_bytes()
    assert project.mesa("report").ret == 0
    assert (project.root / "report.html").read_bytes() == page
    blocked = project.pytest("--mesa-report=ledger.jsonl/report.html")
    assert blocked.ret == 12
    blocked.stdout.fnmatch_lines(["NOT RECORDED: *ledger.jsonl/report.html: can't be written*"])
