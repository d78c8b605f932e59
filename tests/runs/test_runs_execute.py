"""Executors, with real processes and real deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from store_cells import cell

from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.compute import Failure, Outcome
from pytest_mesa.runs.execute import Event, LocalExecutor, pending
from pytest_mesa.runs.store import MANIFEST, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture(params=[0, 2], ids=["inline", "processes"])
def executor(request: pytest.FixtureRequest, store: Store) -> LocalExecutor:
    executor = LocalExecutor(store, workers=request.param)
    request.addfinalizer(executor.close)
    return executor


def result(outcome: Outcome) -> Result:
    assert isinstance(outcome, Result), outcome
    return outcome


def failure(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def diamond(log: Path) -> Cell:
    """Four cells: one below two below one."""
    base = cell(n=1, name="base", log=str(log))
    left = cell(n=10, name="left", log=str(log), inputs=(base,))
    right = cell(n=100, name="right", log=str(log), inputs=(base,))
    return cell(n=1000, name="top", log=str(log), inputs=(left, right))


def test_inputs_come_first_and_each_cell_runs_once(executor: LocalExecutor, tmp_path: Path) -> None:
    log = tmp_path / "log"
    top = diamond(log)
    outcomes = executor.run([top, top.inputs[0], top])
    assert set(outcomes) == {top, top.inputs[0]}
    assert result(outcomes[top]).payload["sum"] == 1112
    assert result(outcomes[top]).file("sum.txt").read_text() == "1112"
    lines = log.read_text().split()
    assert sorted(lines) == ["base", "left", "right", "top"]
    assert lines[0] == "base"
    assert lines[-1] == "top"


def test_a_second_run_computes_nothing_and_starts_nothing(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with LocalExecutor(store, workers=0) as first:
        fresh = first.run([diamond(log)])
    events: list[Event] = []
    with LocalExecutor(store, workers=2) as second:
        assert second.run([diamond(log)], events.append) == fresh
        assert second._pool.free == 2
        assert not second._pool._idle  # type: ignore[attr-defined]
    assert [event.what for event in events] == ["cached"]
    assert len(log.read_text().split()) == 4


def test_only_what_changed_is_pending(store: Store, tmp_path: Path) -> None:
    top = diamond(tmp_path / "log")
    assert [one.label for one in pending([top], store)] == ["base", "left", "right", "top"]
    LocalExecutor(store, workers=0).run([top])
    assert pending([top], store) == ()
    changed = cell(n=2000, name="top", inputs=top.inputs)
    assert pending([changed], store) == (changed,)


def test_a_stored_cell_hides_its_missing_inputs(store: Store, tmp_path: Path) -> None:
    base = cell(n=1, name="base")
    top = cell(n=2, name="top", inputs=(base,))
    store.put(top, {"sum": 3})
    assert pending([top], store) == ()


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("fail", "raised", "ZeroDivisionError: planted"),
        ("not_a_number", "not-json", "not finite JSON"),
        ("quit_python", "raised", "SystemExit: 3"),
        ("nowhere", "no-function", "no function 'nowhere'"),
    ],
)
def test_a_failed_cell_takes_down_only_its_dependants(
    executor: LocalExecutor, function: str, kind: str, message: str
) -> None:
    bad = cell(function, name="bad")
    middle = cell(n=1, name="middle", inputs=(bad,))
    top = cell(n=2, name="top", inputs=(cell(n=5, name="fine"), middle))
    other = cell(n=3, name="other")
    outcomes = executor.run([top, other])
    assert result(outcomes[other]).payload["sum"] == 3
    inherited = failure(outcomes[top])
    assert inherited.kind == "input-failed"
    assert inherited.root.cell == bad
    assert inherited.root.kind == kind
    assert message in inherited.message
    assert message in inherited.root.message
    assert not list((executor.store.root / "tmp").iterdir())


def test_a_raised_error_keeps_its_traceback(executor: LocalExecutor) -> None:
    bad = cell("fail")
    assert "store_cells.py" in failure(executor.run([bad])[bad]).traceback


def test_failures_are_not_stored(executor: LocalExecutor) -> None:
    bad = cell("fail")
    executor.run([bad])
    assert pending([bad], executor.store) == (bad,)


@pytest.mark.parametrize(
    ("function", "how"), [("leave", "exit status 7"), ("die", "killed by SIGKILL")]
)
def test_a_dead_worker_costs_its_own_cell_and_no_other(
    store: Store, function: str, how: str
) -> None:
    bad = cell(function, name="bad")
    innocents = [cell(n=n, sleep=0.05) for n in range(6)]
    with LocalExecutor(store, workers=2) as executor:
        outcomes = executor.run([innocents[0], bad, *innocents])
        assert failure(outcomes[bad]).kind == "worker-lost"
        assert how in failure(outcomes[bad]).message
        assert [result(outcomes[one]).payload["sum"] for one in innocents] == [*range(6)]
        again = executor.run([cell(n=77)])
    assert result(again[cell(n=77)]).payload["sum"] == 77


def test_a_worker_that_died_idle_is_replaced(store: Store) -> None:
    one, two = cell(n=1), cell(n=2)
    with LocalExecutor(store, workers=1) as executor:
        pid = result(executor.run([one])[one]).payload["pid"]
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        outcome = result(executor.run([two])[two])
    assert outcome.payload["sum"] == 2
    assert outcome.payload["pid"] != pid


def test_a_worker_leaves_ctrl_c_to_its_parent(store: Store) -> None:
    one = cell("interrupted", n=4)
    with LocalExecutor(store, workers=1) as executor:
        assert result(executor.run([one])[one]).payload == {"sum": 4}


def test_a_run_that_was_broken_off_leaves_nothing_to_the_next(store: Store) -> None:
    def break_off(event: Event) -> None:
        if event.what == "started":
            raise KeyboardInterrupt

    with LocalExecutor(store, workers=2) as executor:
        executor.run([cell(n=0)])
        with pytest.raises(KeyboardInterrupt):
            executor.run([cell(n=n, sleep=0.3) for n in range(5)], break_off)
        count = []

        def finish_one(event: Event) -> None:
            count.append(event.what)
            if event.what == "finished":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            executor.run([cell(n=n, sleep=0.3 * n) for n in range(1, 6)], finish_one)
        assert executor._pool.free == 2
        outcomes = executor.run([cell(n=77)])
    assert result(outcomes[cell(n=77)]).payload["sum"] == 77


def test_workers_are_limited_in_threads_and_kept(store: Store) -> None:
    with LocalExecutor(store, workers=1, threads=1) as executor:
        payloads = [result(executor.run([cell(n=n)])[cell(n=n)]).payload for n in range(3)]
    assert {payload["threads"] for payload in payloads} == {"1"}
    assert len({payload["pid"] for payload in payloads}) == 1
    assert payloads[0]["pid"] != os.getpid()


def test_events_count_up_to_the_total(executor: LocalExecutor, tmp_path: Path) -> None:
    events: list[Event] = []
    bad = cell("fail", name="bad")
    above = cell(n=9, name="above", inputs=(bad,))
    executor.run([diamond(tmp_path / "log"), above], events.append)
    settled = [event for event in events if event.what in ("finished", "failed")]
    assert [event.done for event in settled] == [1, 2, 3, 4, 5, 6]
    assert {event.total for event in events} == {6}
    assert sorted(e.cell.label for e in events if e.what == "failed") == ["above", "bad"]
    started = [event.cell.label for event in events if event.what == "started"]
    assert sorted(started) == ["bad", "base", "left", "right", "top"]


def test_idle_workers_begin_on_later_runs(store: Store, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    slow = cell(n=1, name="slow", log=log, sleep=0.8)
    quick = [cell(n=n, name=f"quick-{n}", log=log) for n in (2, 3)]
    above = cell(n=4, name="above", log=log, inputs=(quick[0], slow))
    endless = cell(n=5, name="endless", log=log, sleep=1.5)
    with LocalExecutor(store, workers=2) as executor:
        executor.run([cell(n=0), cell(n=9, sleep=0.1)])  # both workers are up
        executor.run([slow], later=iter([[*quick, above], [endless], [cell(n=6)]]))
        assert all(store.get(each) is not None for each in quick)
        assert store.get(above) is None  # its input was not there yet
        assert "endless" in (tmp_path / "log").read_text()  # and half-way at that
        assert store.get(endless) is None
        events: list[Event] = []
        outcomes = executor.run([*quick, above, endless], events.append)
    assert result(outcomes[above]).payload["sum"] == 7
    lines = (tmp_path / "log").read_text().split()
    assert sorted(lines) == ["above", "endless", "quick-2", "quick-3", "slow"]
    # What was begun early counts as this run's, slow as stored.
    found = {event.cell.label: event.what for event in events if event.what != "started"}
    early = dict.fromkeys(["quick-2", "quick-3", "above", "endless"], "finished")
    assert found == early | {"slow": "cached"}
    assert all(e.elapsed_s > 0 for e in events if e.cell.label == "quick-2")


def test_what_fails_early_fails_in_its_own_run_and_is_tried_again_after_it(store: Store) -> None:
    bad, fine = cell("leave", name="bad"), cell(n=1, sleep=0.8)
    above = cell(n=2, inputs=(bad,))
    with LocalExecutor(store, workers=2) as executor:
        executor.run([cell(n=0), cell(n=9, sleep=0.1)])
        outcomes = executor.run([fine], later=iter([[bad, above]]))
        assert result(outcomes[fine]).payload["sum"] == 1
        events: list[Event] = []
        outcomes = executor.run([bad, above], events.append)
        assert failure(outcomes[bad]).kind == "worker-lost"
        assert failure(outcomes[above]).cause == outcomes[bad]
        assert "started" not in [event.what for event in events]
        executor.run([bad], events.append)
    assert [event.what for event in events if event.cell == bad] == ["failed", "started", "failed"]


@pytest.mark.parametrize("seed", range(4))
def test_every_cell_runs_once_however_runs_overlap(store: Store, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    log = str(tmp_path / "log")
    cells: list[Cell] = []
    for n in range(24):
        inputs = tuple(random.sample(cells, min(len(cells), random.randrange(3))))
        told = {"name": str(n), "log": log, "sleep": random.choice([0, 0.01, 0.05])}
        cells.append(cell(n=n, inputs=inputs, **told))
    runs = [random.sample(cells, 8) for _ in range(5)]
    with LocalExecutor(store, workers=2) as executor:
        found = [
            executor.run(run, later=iter(runs[number + 1 :])) for number, run in enumerate(runs)
        ]
    assert all(list(outcomes) == run for outcomes, run in zip(found, runs, strict=True))
    assert all(result(o).payload["sum"] >= 0 for outcomes in found for o in outcomes.values())
    lines = (tmp_path / "log").read_text().split()
    assert len(lines) == len(set(lines))


def test_a_damaged_fixture_fails_its_cell_alone(tmp_path: Path) -> None:
    source = Store(tmp_path / "cache")
    frozen, top, other = cell(n=1), cell(n=2, inputs=(cell(n=1),)), cell(n=3)
    LocalExecutor(source, workers=0).run([frozen])
    layer = tmp_path / "fixtures"
    source.freeze(frozen, layer / "net", {})
    (layer / "net" / "sum.txt").write_text("2")
    events: list[Event] = []
    outcomes = LocalExecutor(Store(tmp_path / "new", [layer]), workers=0).run(
        [top, other], events.append
    )
    assert failure(outcomes[top]).root.kind == "store"
    assert "sum.txt" in failure(outcomes[top]).message
    assert result(outcomes[other]).payload["sum"] == 3
    assert [event.done for event in events if event.what != "started"] == [1, 2, 3]
    assert (layer / "net" / MANIFEST).exists()


def test_a_deep_pipeline_needs_no_deep_stack(store: Store) -> None:
    one = cell(n=0)
    for _ in range(300):
        one = cell(n=1, inputs=(one,))
        _ = one.key
    assert len(pending([one], store)) == 301


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from store_cells import cell
from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store

if __name__ == "__main__":
    log = sys.argv[3]
    cells = [cell(n=n, name=str(n), log=log, sleep=float(sys.argv[4])) for n in range(8)]
    with LocalExecutor(Store(Path(sys.argv[2])), workers=2) as executor:
        outcomes = executor.run(cells, lambda event: print(event.what, flush=True))
    print(sum(outcome.payload["sum"] for outcome in outcomes.values()))
"""


def drive(tmp_path: Path, sleep: float = 0.1) -> subprocess.Popen[str]:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    here = str(Path(__file__).parent)
    arguments = [sys.executable, str(script), here, str(tmp_path / "cache")]
    return subprocess.Popen(
        [*arguments, str(tmp_path / "log"), str(sleep)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def computed(tmp_path: Path) -> list[int]:
    return sorted(int(line) for line in (tmp_path / "log").read_text().split())


def test_two_runs_at_once_compute_each_cell_once(tmp_path: Path) -> None:
    drivers = [drive(tmp_path), drive(tmp_path)]
    sums = [driver.communicate(timeout=30)[0].split()[-1] for driver in drivers]
    assert sums == ["28", "28"]
    assert computed(tmp_path) == [*range(8)]


def wait_for_finished(driver: subprocess.Popen[str], count: int) -> None:
    assert driver.stdout is not None
    while count:
        line = driver.stdout.readline()
        assert line, driver.stderr.read() if driver.stderr else ""
        count -= line.strip() == "finished"


def test_after_kill_9_only_what_was_unfinished_is_computed(tmp_path: Path) -> None:
    with drive(tmp_path) as driver:
        wait_for_finished(driver, 3)
        os.kill(driver.pid, signal.SIGKILL)
    with drive(tmp_path) as driver:
        assert driver.communicate(timeout=30)[0].split()[-1] == "28"
    # A worker outlives its parent until its cell is in the store, so nothing is done twice.
    assert computed(tmp_path) == [*range(8)]


def test_after_kill_9_of_everything_the_rest_is_computed(tmp_path: Path) -> None:
    with drive(tmp_path) as driver:
        wait_for_finished(driver, 3)
        os.killpg(driver.pid, signal.SIGKILL)
    before = computed(tmp_path)
    with drive(tmp_path) as driver:
        assert driver.communicate(timeout=30)[0].split()[-1] == "28"
    assert set(computed(tmp_path)) == set(range(8))
    assert len(computed(tmp_path)) <= len(before) + 8 - 3


def test_ctrl_c_ends_promptly_and_keeps_finished_cells(tmp_path: Path) -> None:
    with drive(tmp_path, sleep=1.0) as driver:
        wait_for_finished(driver, 1)
        began = time.monotonic()
        os.killpg(driver.pid, signal.SIGINT)
        errors = driver.communicate(timeout=10)[1]
    assert time.monotonic() - began < 1.5
    assert driver.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    store = Store(tmp_path / "cache")
    finished = [path for path in (tmp_path / "cache").glob("??/*") if path.is_dir()]
    assert finished
    # Nobody goes on computing behind the user's back.
    lines = (tmp_path / "log").read_text()
    time.sleep(1.2)
    assert (tmp_path / "log").read_text() == lines
    store.sweep()
    assert not list((tmp_path / "cache" / "tmp").iterdir())
