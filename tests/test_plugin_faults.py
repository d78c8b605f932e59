"""Workers that die, keys that interrupt, ledgers and locks that do not fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mesa_projects import Project

VOLATILE = ("time", "duration_s", "prev", "sha", "git")


def lasting(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without what differs from run to run."""
    return [{k: v for k, v in record.items() if k not in VOLATILE} for record in records]


def test_two_workers_leave_the_records_of_a_serial_run(project: Project) -> None:
    project.spec("broken", "fault: raise")
    for name in ("d", "a", "c"):
        project.spec(name)
    project.spec("wrong", "score: 1.0")
    parallel = project.pytest("-n", "2", "--mesa-ledger", "parallel.jsonl")
    assert parallel.ret == 1
    parallel.stdout.fnmatch_lines(["*= 1 failed, 3 passed, 1 error in *"])
    computed = project.computed()
    # A cell that two workers want is computed by one of them.
    assert computed == ["blank", "net-a", "net-broken", "net-c", "net-d", "net-wrong", "planted"]
    assert not project.ledger.exists()
    project.pytest("--mesa-cache-dir", "elsewhere")
    assert project.computed() == computed
    serial = project.records()
    (project.root / "parallel.jsonl").replace(project.ledger)
    assert lasting(project.records()) == lasting(serial)
    assert len(serial) == 5


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["serial", "xdist"])
def test_a_killed_worker_leaves_one_error_record(
    project: Project, workers: tuple[str, ...]
) -> None:
    project.spec("killed", "fault: kill")
    project.spec("well")
    result = project.pytest(*workers, "--junitxml=junit.xml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["No verdict, the run broke (worker-lost): killed", "*= 1 passed, 1 error in *"]
    )
    assert [(r["prediction"], r["verdict"], r["reason"]) for r in project.records()] == [
        ("killed", "error", "worker-lost"),
        ("well", "pass", ""),
    ]


def test_ctrl_c_keeps_finished_cells(project: Project) -> None:
    project.spec("a")
    project.spec("slow", "sleep_s: 0.0, score: 0.1")
    text = (project.root / "predictions" / "slow.yaml").read_text()
    (project.root / "predictions" / "slow.yaml").write_text(text.replace("0.0", "60.0"))
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--mesa-predictions"],
        cwd=project.root,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (project.log.exists() and "net-slow" in project.log.read_text()):
        assert time.monotonic() < deadline, "the slow cell never started"
        time.sleep(0.05)
    time.sleep(1)  # it may have begun while the other prediction's cells were under way
    # The whole group, as a terminal does it.
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=30)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Interrupted: the 3 cells finished in this run are kept in .mesa-cache" in output
    assert [r["prediction"] for r in project.records()] == ["a"]
    project.computed()
    project.pytest("-k", "a and not slow")
    assert project.computed() == []


def test_a_damaged_ledger_stops_the_run_before_it_starts(project: Project) -> None:
    project.spec("claim")
    project.pytest()
    project.computed()
    data = project.ledger.read_bytes()
    project.ledger.write_bytes(data.replace(b'"verdict":"pass"', b'"verdict":"fail"'))
    result = project.pytest("--mesa-cache-dir", "new")
    assert result.ret == 12
    result.stdout.fnmatch_lines(["*ledger.jsonl: line 2: *mesa verify*"])
    assert project.computed() == []


def test_an_unwritable_ledger_is_told_with_the_verdicts(project: Project) -> None:
    project.spec("claim")
    (project.root / "file").write_text("")
    result = project.pytest("--mesa-ledger", "file/ledger.jsonl")
    assert result.ret == 12
    result.stdout.fnmatch_lines(["claim * pass[*]*", "NOT RECORDED: *file*", "*= 1 passed in *"])


def test_locked_runs_take_only_locked_specs(project: Project) -> None:
    project.spec("a")
    project.spec("b")
    assert project.mesa("lock").ret == 0
    assert project.pytest("--mesa-locked").ret == 0
    assert [r["locked"] for r in project.records()] == ["locked", "locked"]
    project.computed()
    project.spec("b", "score: 0.1")
    result = project.pytest("--mesa-locked", "-n", "1")
    assert result.ret == 11
    result.stdout.fnmatch_lines(["Not run: b differs from mesa.lock", "*= 1 failed, 1 passed in *"])
    assert project.computed() == []
    assert project.pytest("-q").ret == 0
    assert [(r["prediction"], r["locked"]) for r in project.records()[2:]] == [("b", "differs")]
