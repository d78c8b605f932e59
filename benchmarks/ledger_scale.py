"""Time the commands that read a long ledger, each in a fresh process.

    python benchmarks/ledger_scale.py [--records 100000] [--repeats 5]

Three ledgers are written: of records of about 2.5 KB on 25 claims and 40 models; of as many on
one claim, which is the longest history there can be; and of a tenth as many of about 30 KB, the
size of the registry's own. Every command is run in turn, again and again, and the median wall
time and CPU time told. Also told: what a full reading costs, which the index spares. Ends with
status 1 where a command takes longer than 2 s at the median.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_mesa.ledger.append import read
from pytest_mesa.ledger.index import scan
from pytest_mesa.ledger.records import GENESIS, encode, seal
from pytest_mesa.ledger.tail import Head, write_head
from pytest_mesa.ledger.verify import verify

BAR_S = 2.0
CLAIMS, MODELS = 25, 40
RUN = {
    "kind": "run",
    "time": "2026-01-02T03:04:05Z",
    "plugin": "0.1.0",
    "git": {},
    "env": {},
    "counts": {},
}


def reading(label: str, estimate: float, **more: Any) -> dict[str, Any]:
    """What was read off one subject or control."""
    bounds = [max(0.0, estimate - 0.05), min(1.0, estimate + 0.05)]
    return {"label": label, "estimate": estimate, "bounds": bounds, "n": 3000, **more}


def body(number: int, claims: int, padding: int) -> dict[str, Any]:
    """A verdict of the shape and size that the registry's own have, less their strata."""
    claim, model = number % claims, number // claims % MODELS
    estimate = 0.05 + 0.4 * (number % 7 == 0)
    competence = {"estimate": 0.996, "lower": 0.985, "n": 2000, "at_least": 0.9, "ok": True}
    told = {"outcome": "pass", "reason": None, "competence": competence, "detection_limit": 0.2}
    return {
        "kind": "verdict",
        "time": "2026-01-02T03:04:05Z",
        "prediction": f"claim-{claim:02}",
        "lineup": f"hf:org/model-{model:02}@v{number // claims // MODELS}",
        "claim": {
            "title": "Knapsack solvers do not rediscover dynamic programming",
            "claim": "A net trained on small knapsacks does not find the table.",
            "notes": ["The table's rows are the best value per capacity."],
            "tags": ["knapsack"],
            "experiment": "causal-state",
            "estimand": "interchange-accuracy",
            "quantifier": "every",
            "regions": {"predicted": {"below": 0.25}, "refuted": {"above": 0.5}},
        },
        "spec_sha": f"{claim:064x}",
        "src": {"file": f"predictions/claim-{claim:02}.yaml", "line": 2},
        "model": {"ref": "hf:org/model", "revision": "", "weights_sha": f"{number:064x}"},
        "seed": 0,
        "env": {"python": "3.11.7", "torch": "2.13.0", "cpu": "a cpu"},
        "plugin": "0.1.0",
        "git": {"commit": f"{number // 1000:040x}", "dirty": False},
        "reason": "",
        "message": "Upheld: interchange-accuracy lies below 0.25 in 2 of 2 subjects.",
        **{key: value for key, value in reading("", estimate).items() if key != "label"},
        "alpha": 0.05,
        "decided_at": 900,
        "e_value": 400.0,
        "competence": competence,
        "detection_limit": 0.2,
        "subjects": [reading(f"seed {seed}", estimate, **told) for seed in range(2)],
        "controls": [
            reading(name, value, expected=value > 0.5, detected=value > 0.5, ok=True)
            for name, value in (("compiled prefix-dp", 0.97), ("untrained", 0.01))
        ],
        "exhibit": {"text": "x" * padding},
        "verdict": "pass" if estimate < 0.25 else "inconclusive",
        "locked": "locked",
        "duration_s": 12.5,
    }


def write(path: Path, size: int, claims: int, padding: int = 200) -> Path:
    """A sound ledger of so many records, without the wait of so many appends."""
    prev = GENESIS
    with path.open("wb") as file:
        for record in bodies(size, claims, padding):
            sealed = seal(record, prev)
            prev = sealed["sha"]
            file.write(encode(sealed))
    write_head(path, Head(prev, path.stat().st_size))
    return path


def bodies(size: int, claims: int, padding: int) -> Iterator[dict[str, Any]]:
    """Sessions of a record of their own and the verdicts on one model's release."""
    for number in range(size):
        yield RUN if number % (claims + 1) == 0 else body(number, claims, padding)


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(ledger: Path, last: str) -> dict[str, list[str]]:
    """The commands to time."""
    mesa = [sys.executable, "-m", "pytest_mesa.cli"]
    where = ["--ledger", str(ledger)]
    page = ["--output", str(ledger.with_suffix(".html"))]
    return {
        "mesa --help (start alone)": [*mesa, "--help"],
        "mesa report": [*mesa, "report", *where, *page],
        "mesa diff": [*mesa, "diff", *where],
        "mesa diff @v0 @v1": [*mesa, "diff", "@v0", "@v1", *where],
        "mesa diff COMMIT COMMIT": [*mesa, "diff", f"{0:040x}", last, *where],
        "mesa history CLAIM": [*mesa, "history", "claim-00", *where],
        "mesa publish --markdown": [*mesa, "publish", *where, "--markdown", str(ledger) + ".md"],
    }


def table(title: str, ledger: Path, size: int, repeats: int) -> float:
    """Time every command, interleaved; the slowest median of wall times."""
    last = f"{(size - 1) // 1000:040x}"
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for name, command in commands(ledger, last).items():
            found.setdefault(name, []).append(timed(command))
    print(f"\n{title}: {size:,} records, {ledger.stat().st_size / 1e6:,.0f} MB")
    print(f"{'':28}{'wall s':>8}{'CPU s':>8}")
    worst = 0.0
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:28}{wall:8.2f}{cpu:8.2f}")
        worst = max(worst, wall)
    return worst


def readings(ledger: Path) -> None:
    """The index beside a full reading and a full check, in CPU seconds and MB/s."""
    ways: dict[str, Callable[[Path], object]] = {"scan": scan, "read": read, "verify": verify}
    size = ledger.stat().st_size / 1e6
    for name, way in ways.items():
        start = time.process_time()
        way(ledger)
        spent = time.process_time() - start
        print(f"{name:28}{'':8}{spent:8.2f}  ({size / spent:,.0f} MB/s)")


def main() -> int:
    """Print the tables; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size = options.records
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        many = write(root / "many.jsonl", size, CLAIMS)
        one = write(root / "one.jsonl", size, 1)
        heavy = write(root / "heavy.jsonl", size // 10, CLAIMS, padding=28_000)
        worst = [
            table("25 claims, 40 models", many, size, options.repeats),
            table("one claim", one, size, options.repeats),
            table("25 claims, 40 models, large records", heavy, size // 10, options.repeats),
        ]
        print("\nreading the first of these")
        readings(many)
    print(f"\nslowest median {max(worst):.2f} s, bar {BAR_S:g} s")
    return int(max(worst) > BAR_S)


if __name__ == "__main__":
    raise SystemExit(main())
