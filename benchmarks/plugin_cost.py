"""What the installed plugin costs a plain pytest run that has nothing to do with it.

Runs a one-test project in fresh processes, with the plugin and with ``-p no:mesa`` in turn,
and prints the paired difference of wall-clock time. Also lists the heavy modules in such a run,
those that the plugin brought (there should be none) apart from those of other plugins.

    python benchmarks/plugin_cost.py [--pairs 30]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAVY = ("torch", "transformers", "numpy", "pydantic", "rich", "yaml")
BAR_MS = 5.0

TEST = """
import json, os, sys

def test_one():
    if "MESA_MODULES" in os.environ:
        with open(os.environ["MESA_MODULES"], "w") as out:
            json.dump(sorted(sys.modules), out)
"""


def command(project: Path, *extra: str) -> list[str]:
    """One quiet run of the project; other plugins stay as they are installed."""
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *extra, str(project)]


def timed(project: Path, *extra: str) -> float:
    """Wall-clock seconds of one run in a fresh process."""
    start = time.perf_counter()
    subprocess.run(command(project, *extra), check=True, capture_output=True, cwd=project)
    return time.perf_counter() - start


def imported(project: Path, *extra: str) -> set[str]:
    """The heavy modules present at the end of a run."""
    out = project / "modules.json"
    env = os.environ | {"MESA_MODULES": str(out)}
    subprocess.run(command(project, *extra), check=True, capture_output=True, cwd=project, env=env)
    present = set(json.loads(out.read_text("utf-8")))
    if ("pytest_mesa.plugin" in present) == bool(extra):
        raise SystemExit("the plugin does not come and go as told: is pytest-mesa installed?")
    return present.intersection(HEAVY)


def main() -> int:
    """Measure, print, and exit 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "test_one.py").write_text(TEST, "utf-8")
        (project / "pytest.ini").write_text("[pytest]\n", "utf-8")
        others = imported(project, "-p", "no:mesa")
        heavy = imported(project) - others
        timed(project), timed(project, "-p", "no:mesa")
        differences, bare = [], []
        for index in range(pairs):
            # Which of the two goes first alternates, so that drift of the machine cancels.
            order = ((), ("-p", "no:mesa")) if index % 2 else (("-p", "no:mesa"), ())
            seconds = {extra: timed(project, *extra) for extra in order}
            differences.append(seconds[()] - seconds["-p", "no:mesa"])
            bare.append(seconds["-p", "no:mesa"])
    cost = 1000 * statistics.median(differences)
    quartiles = statistics.quantiles(differences, n=4)
    print(f"plain run without the plugin   {1000 * statistics.median(bare):8.1f} ms (median)")
    print(f"cost of the plugin             {cost:8.1f} ms (median of {pairs} pairs)")
    print(
        f"  quartiles of the difference  {1000 * quartiles[0]:.1f} to {1000 * quartiles[2]:.1f} ms"
    )
    print(f"heavy modules by the plugin    {', '.join(sorted(heavy)) or 'none'}")
    print(f"heavy modules by other plugins {', '.join(sorted(others)) or 'none'}")
    return int(cost > BAR_MS or bool(heavy))


if __name__ == "__main__":
    raise SystemExit(main())
