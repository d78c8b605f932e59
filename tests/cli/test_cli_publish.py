"""``mesa publish``, in every form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ledger_bodies import verdict

from pytest_mesa.cli import main
from pytest_mesa.ledger.append import append

Capture = pytest.CaptureFixture[str]
TOKEN = "hf_thisIsNoToken0123456789"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    path = tmp_path / "ledger.jsonl"
    append(path, verdict("own"))
    append(path, verdict("a", lineup="hf:org/m@v1"))
    append(path, verdict("a", lineup="hf:org/m@v2", verdict="fail", estimate=0.7, bounds=[0.6, 1]))
    return path


def test_github_gets_summary_annotations_and_outputs(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    step, output = ledger.with_name("step.md"), ledger.with_name("output")
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    assert main(["publish", "--github", "--release", "@v2", "--compare", "@v1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in out] == ["::error"]
    assert output.read_text() == "pass=0\nfail=1\ninconclusive=0\nerror=0\n"
    page = step.read_text()
    assert page.startswith("before\n# Verdicts of @v2\n\n1 fail.\n\n| prediction |")
    assert "@v1 → @v2. 1 verdict compared: 1 flipped." in page


def test_what_the_step_has_written_already_counts(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ledger.with_name("step.md")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    step.write_bytes(b"x" * (1024 * 1024 - 2000))
    assert main(["publish", "--github"]) == 0
    assert 1024 * 1024 - 2000 < step.stat().st_size <= 1024 * 1024
    assert "more details are in the report" in step.read_text()


def test_files_are_written_for_other_pipelines(ledger: Path, capsys: Capture) -> None:
    forms = ["--badge", "b/badge.json", "--junit", "b/v.xml", "--markdown", "b/s.md"]
    assert main(["publish", *forms]) == 0
    assert json.loads(Path("b/badge.json").read_text())["message"] == "1 pass, 1 fail"
    assert Path("b/v.xml").read_text().count("<testcase ") == 2
    assert Path("b/s.md").read_text().startswith("# Verdicts\n")
    assert capsys.readouterr().out == "wrote b/badge.json\nwrote b/v.xml\nwrote b/s.md\n"


def test_a_dry_run_shows_what_would_be_pushed(ledger: Path, capsys: Capture) -> None:
    assert main(["publish", "--hub", "org/m", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("would push to org/m, into the metadata of README.md:\n---\nmodel-index:")
    assert "type: a\n" in out
    assert "type: own" not in out
    assert "hf:org/m@v2" in out
    assert "hf:org/m@v1" not in out
    assert TOKEN not in out + ledger.read_text()


def test_what_is_pushed_is_what_the_dry_run_shows(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from huggingface_hub import HfApi

    pushed: dict[str, Any] = {}

    class Commit:
        pr_url = None
        commit_url = "https://hub/org/m/commit/1"

    def upload(self: object, **arguments: Any) -> Commit:
        pushed.update(arguments)
        return Commit()

    monkeypatch.setattr(HfApi, "upload_file", upload)
    monkeypatch.setattr("pytest_mesa.report.hub.fetch", lambda model: "")
    assert main(["publish", "--hub", "org/m@v2", "--dry-run"]) == 0
    shown = capsys.readouterr().out.partition("\n")[2]
    assert main(["publish", "--hub", "org/m@v2", "--create-pr"]) == 0
    assert capsys.readouterr().out == "pushed to https://hub/org/m/commit/1\n"
    assert pushed["path_or_fileobj"].decode().rstrip("\n") == shown.rstrip("\n")
    assert (pushed["repo_id"], pushed["path_in_repo"]) == ("org/m", "README.md")
    assert pushed["create_pr"] is True


def test_without_the_hub_the_user_is_told(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["publish", "--hub", "org/m"]) == 1
    captured = capsys.readouterr()
    assert "mesa publish: --hub: the card of org/m can't be fetched: the hub is not" in captured.err
    assert re.search(rf"Traceback|{TOKEN}", captured.err + captured.out) is None


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "say what to publish"),
        (["--dry-run", "--junit", "x.xml"], 2, "--dry-run goes with --hub"),
        (["--github"], 1, "GITHUB_STEP_SUMMARY is not set"),
        (["--markdown", "s.md", "--release", "@v9"], 1, "'@v9' is no line-up"),
        (["--markdown", "s.md", "--compare", "nobody"], 1, "'nobody' is no line-up"),
        (["--hub", "org/other", "--dry-run"], 1, "'org/other' is no line-up"),
        (["--markdown", "ledger.jsonl/s.md"], 1, "ledger.jsonl/s.md: can't be written"),
    ],
)
def test_a_users_slip_is_told_in_a_sentence(
    ledger: Path, capsys: Capture, arguments: list[str], status: int, said: str
) -> None:
    assert main(["publish", *arguments]) == status
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
