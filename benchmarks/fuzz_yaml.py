"""Mutate specs and load them: only predictions and positioned errors may come out.

Each case is a pure function of the seed and its number. They run in one worker process; its
parent sees a crash or a hang, notes the case, and goes on after it.

    python benchmarks/fuzz_yaml.py --cases 100000
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from yaml_mutants import CORPUS, case

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import load_text
from pytest_mesa.registry.show import describe
from pytest_mesa.registry.source import decoded

HANG_S = 1.0  # of CPU time, which other work on the machine does not stretch much
STUCK_S = 10.0  # of wall time, after which the worker is given up
RSS_MB = 200.0


def outcome(data: bytes) -> str:
    """Load one file and say what came of it.

    Raises:
        AssertionError: an error without a place inside the file, or one that does not render.
    """
    try:
        loaded = load_text(decoded(data, "case.yaml"), "case.yaml")
    except SpecErrors as errors:
        lines = data.decode(errors="replace").replace("\r\n", "\n").split("\n")
        for error in errors.errors:
            inside = 1 <= error.line <= len(lines)
            if not (inside and 1 <= error.col <= len(lines[error.line - 1]) + 1 and error.message):
                raise AssertionError(f"outside the file: {error}") from errors
            head = error.render().split("\n")[0]
            if not head.startswith(f"case.yaml:{error.line}:{error.col}: "):
                raise AssertionError(f"rendered without its place: {head}") from errors
        return " ".join(errors.errors[0].message.split("'")[0].split(":")[0].split()[:4])
    describe(loaded)
    return "loaded"


@dataclass
class Report:
    """What all cases came to. ``faults`` are (case number, what happened)."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    growth_mb: float = 0.0

    def add(self, part: Report) -> None:
        """Take in the report of further cases."""
        self.cases += part.cases
        self.outcomes += part.outcomes
        self.faults += part.faults
        self.slowest_s = max(self.slowest_s, part.slowest_s)
        self.growth_mb = max(self.growth_mb, part.growth_mb)


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_cases(seed: int, numbers: Iterable[int], at: Any = None) -> Report:
    """Load cases in this process. ``at`` is a shared (number, started) pair for a watcher."""
    report = Report()
    for number in numbers:
        data = case(seed, number)
        began = time.process_time()
        if at is not None:
            at[0], at[1] = number, time.monotonic()
        try:
            report.outcomes[outcome(data)] += 1
        except Exception as error:  # any exception at all is a finding
            report.faults.append((number, f"{type(error).__name__}: {error}"[:300]))
        report.slowest_s = max(report.slowest_s, time.process_time() - began)
        report.cases += 1
    return report


def _work(seed: int, blocks: list[range], skip: set[int], at: Any, pipe: Connection) -> None:
    for text in CORPUS:
        load_text(text)
    before = peak_mb()
    for block in blocks:
        report = run_cases(seed, (number for number in block if number not in skip), at)
        report.growth_mb = peak_mb() - before
        pipe.send(report)


def run_watched(seed: int, cases: int, block: int = 1000) -> Report:
    """Load cases in one worker process, which is replaced where it crashes or hangs."""
    context = multiprocessing.get_context("spawn")
    blocks = [range(start, min(cases, start + block)) for start in range(0, cases, block)]
    total, skip = Report(), set[int]()
    while blocks:
        at = context.Array("d", [blocks[0].start, time.monotonic() + 60], lock=False)
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(seed, blocks, skip, at, theirs), daemon=True)
        worker.start()
        theirs.close()
        try:
            while blocks:
                while not ours.poll(0.2):
                    if time.monotonic() - at[1] > STUCK_S:
                        raise TimeoutError
                total.add(ours.recv())
                done = blocks.pop(0)
                sys.stderr.write(f"\r{done.stop:,} of {cases:,}, {len(total.faults)} faults")
        except (EOFError, TimeoutError) as error:
            what = "hang" if isinstance(error, TimeoutError) else "crash"
            worker.kill()
            worker.join()
            skip.add(int(at[0]))
            total.faults.append((int(at[0]), f"{what} (exit {worker.exitcode})"))
        worker.join()
    sys.stderr.write("\n")
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files of faults")
    args = parser.parse_args()
    began = time.perf_counter()
    report = run_watched(args.seed, args.cases)
    took = time.perf_counter() - began
    for number, what in report.faults:
        print(f"fault: case {number}: {what}")
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"{number}.yaml").write_bytes(case(args.seed, number))
    print("| outcome | files |\n|---|---:|")
    for name, count in report.outcomes.most_common(20):
        print(f"| {name} | {count:,} |")
    rest = report.outcomes.total() - sum(n for _, n in report.outcomes.most_common(20))
    print(f"| others | {rest:,} |")
    print("\n| what | measured | bar |\n|---|---:|---:|")
    print(f"| mutated files | {report.cases:,} | 100,000 |")
    print(f"| tracebacks, crashes, hangs, misplaced errors | {len(report.faults)} | 0 |")
    print(f"| slowest file, CPU | {report.slowest_s:.3f} s | {HANG_S:g} s |")
    print(f"| growth of peak memory | {report.growth_mb:.0f} MB | {RSS_MB:g} MB |")
    print(f"| whole run | {took:.0f} s | |")
    bad = report.faults or report.slowest_s > HANG_S or report.growth_mb > RSS_MB
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
