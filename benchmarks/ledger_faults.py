"""Kill writers of a ledger again and again, and count what was acknowledged but is not there.

    python benchmarks/ledger_faults.py [--kills 320] [--writers 8] [--size 20000]

Eight processes append 20 KB records to one ledger; each is killed with SIGKILL at a random
moment and replaced, until the given number of kills. Then every acknowledged record must be
in the ledger once, the chain must verify, and the next append must work. A second table
times appending to, reading and verifying a long ledger. Ends with status 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.records import encode, seal
from pytest_mesa.ledger.verify import verify

WRITER = """
import sys
from pathlib import Path
from pytest_mesa.ledger.append import append

path, name, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
number = 0
while True:
    body = {"kind": "amend", "reason": "load", "who": name, "n": number, "pad": "x" * size}
    sys.stdout.write(append(path, body)["sha"] + "\\n")
    sys.stdout.flush()
    number += 1
"""
LONG = 100_000


def start(path: Path, name: str, size: int, log: Path) -> subprocess.Popen[bytes]:
    """A writer whose acknowledgements go to a file, so that no pipe ever holds it up."""
    with log.open("wb") as out:
        command = [sys.executable, "-c", WRITER, str(path), name, str(size)]
        return subprocess.Popen(command, stdout=out)


def acknowledged(log: Path) -> list[str]:
    """The hashes that a writer was given, less one that it had no time to note in full."""
    lines = log.read_text().splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


def storm(folder: Path, kills: int, writers: int, size: int) -> dict[str, float]:
    """Kill and replace writers; count what was lost."""
    rng = random.Random(0)
    path = folder / "ledger.jsonl"
    logs = [folder / f"log-{number}" for number in range(kills + writers)]
    alive = [start(path, f"w{n}", size, logs[n]) for n in range(writers)]
    began = time.perf_counter()
    for number in range(kills):
        time.sleep(rng.uniform(0.02, 0.25))
        victim = alive.pop(rng.randrange(writers))
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        following = writers + number
        alive.append(start(path, f"w{following}", size, logs[following]))
    for writer in alive:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    elapsed = time.perf_counter() - began
    promised = [sha for log in logs for sha in acknowledged(log)]
    append(path, {"kind": "amend", "reason": "the next append"})
    records = read(path)
    found = [record["sha"] for record in records]
    return {
        "kills": kills + writers,
        "writers": writers,
        "acknowledged records": len(promised),
        "records in the ledger": len(found),
        "torn tails healed": sum(1 for record in records if "torn" in record),
        "acknowledged but lost": len(set(promised) - set(found)),
        "there twice": len(found) - len(set(found)),
        "problems in the chain": len(verify(path)),
        "seconds": elapsed,
    }


def long_ledger(path: Path) -> dict[str, float]:
    """Times, in milliseconds, on a ledger of 100,000 records of 2 KB."""
    prev = "0" * 64
    with path.open("wb") as file:
        for number in range(LONG):
            record = seal(
                {"kind": "amend", "time": "", "reason": "load", "n": number, "pad": ["x"] * 450},
                prev,
            )
            file.write(encode(record))
            prev = record["sha"]
    append(path, {"kind": "amend", "reason": "warm"})
    appends = sorted(
        timed(lambda: append(path, {"kind": "amend", "reason": "timed"})) for _ in range(50)
    )
    return {
        "records": LONG,
        "megabytes": path.stat().st_size / 1e6,
        "append, median ms": appends[25],
        "append, slowest of 50 ms": appends[-1],
        "read all, ms": timed(lambda: read(path)),
        "verify all, ms": timed(lambda: verify(path)),
    }


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def table(title: str, rows: dict[str, float]) -> None:
    """Print one table."""
    print(title)
    for name, value in rows.items():
        print(f"  {name:28} {value:>12,.{0 if value == int(value) else 1}f}")


def main() -> int:
    """Run both tables; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="The ledger under kill -9.")
    parser.add_argument("--kills", type=int, default=320)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--size", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = storm(Path(folder), options.kills, options.writers, options.size)
        table("kill -9", rows)
    with tempfile.TemporaryDirectory() as folder:
        times = long_ledger(Path(folder) / "ledger.jsonl")
        table("a long ledger", times)
    harm = ("acknowledged but lost", "there twice", "problems in the chain")
    return int(any(rows[name] for name in harm) or not rows["acknowledged records"])


if __name__ == "__main__":
    sys.exit(main())
