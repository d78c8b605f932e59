"""Time the collection of many specs, each run in a fresh process.

python benchmarks/collect.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml_mutants import AGREEMENT, GENERALISATION

from pytest_mesa.registry.template import new_prediction

BAR_S = 1.5
RUNS = 5
HEAVY = ("torch", "transformers", "numpy", "jsonschema", "rich")

CHILD = """
import json, sys, time
began = time.perf_counter()
from pytest_mesa.registry.loader import collect
imported = time.perf_counter()
found = collect([sys.argv[1]])
done = time.perf_counter()
import resource
print(json.dumps({
    "imported": imported - began,
    "collect": done - imported,
    "whole": done - began,
    "cpu": time.process_time(),
    "loaded": len(found.loaded),
    "errors": len(found.errors),
    "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "heavy": [name for name in sys.argv[2:] if name in sys.modules],
}))
"""


def write_specs(folder: Path, count: int) -> None:
    """Write valid specs of all kinds, a third each, every one with its own id."""
    template = new_prediction("knapsack-no-dp")
    texts = [AGREEMENT, GENERALISATION, template]
    names = ["knapsack-heuristics", "knapsack-no-size-transfer", "knapsack-no-dp"]
    for number in range(count):
        text, name = texts[number % 3], names[number % 3]
        spec = text.replace(f"prediction: {name}", f"prediction: {name}-{number}")
        (folder / f"{number:05}.yaml").write_text(spec, encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """Medians over fresh processes, in seconds; ``cpu`` is the whole process's."""

    imported: float
    collect: float
    whole: float
    cpu: float
    mb: float
    heavy: tuple[str, ...]


def measure(count: int, runs: int = RUNS) -> Row:
    """Collect ``count`` specs in fresh processes.

    Raises:
        RuntimeError: a spec did not load, so the time means nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_specs(Path(folder), count)
        command = [sys.executable, "-c", CHILD, folder, *HEAVY]
        outs: list[dict[str, Any]] = [
            json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for _ in range(runs)
        ]
    for out in outs:
        if out["loaded"] != count or out["errors"]:
            raise RuntimeError(f"{out['loaded']} of {count} specs loaded, {out['errors']} errors")
    middle = {
        key: statistics.median(float(out[key]) for out in outs)
        for key in ("imported", "collect", "whole", "cpu", "mb")
    }
    return Row(**middle, heavy=tuple(sorted({name for out in outs for name in out["heavy"]})))


def main() -> int:
    """Print the table; the exit status is 1 where a bar is missed."""
    print("| specs | import | collect | whole | CPU | a spec | memory | heavy modules |")
    print("|---:|---:|---:|---:|---:|---:|---:|---|")
    rows = {count: measure(count, runs) for count, runs in ((100, RUNS), (1000, RUNS), (10_000, 3))}
    for count, row in rows.items():
        each = row.collect / count * 1000
        print(
            f"| {count:,} | {row.imported:.2f} s | {row.collect:.2f} s | {row.whole:.2f} s "
            f"| {row.cpu:.2f} s | {each:.2f} ms | {row.mb:.0f} MB "
            f"| {', '.join(row.heavy) or 'none'} |"
        )
    slope = rows[10_000].collect / rows[1000].collect
    print(f"\n10,000 take {slope:.1f} times as long as 1,000 (linear: 10)")
    late = rows[1000].whole > BAR_S or slope > 12
    return 1 if late or any(row.heavy for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
