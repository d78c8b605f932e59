"""What the installed plugin costs a plain pytest run that has nothing to do with it.

Runs a one-test project in fresh processes, with the plugin and with ``-p no:mesa`` in turn,
and prints the paired difference of their times. Also lists the heavy modules in such a run,
those that the plugin brought (there should be none) apart from those of other plugins.

    python benchmarks/plugin_cost.py [--pairs 30]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAVY = ("torch", "transformers", "numpy", "pydantic", "rich", "yaml")
BAR_MS = 5.0
BARE = ("-p", "no:mesa")

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


def environment(**more: str) -> dict[str, str]:
    """This process' environment, in which Python may cache what it compiles, as usual."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | more


def timed(project: Path, *extra: str) -> tuple[float, float]:
    """Wall-clock and processor seconds of one run in a fresh process."""
    wall, before = time.perf_counter(), processor_s()
    subprocess.run(
        command(project, *extra), check=True, capture_output=True, cwd=project, env=environment()
    )
    return time.perf_counter() - wall, processor_s() - before


def processor_s() -> float:
    """Processor seconds of all ended child processes; steadier than the clock on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def imported(project: Path, *extra: str) -> set[str]:
    """The heavy modules present at the end of a run."""
    out = project / "modules.json"
    env = environment(MESA_MODULES=str(out))
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
        others = imported(project, *BARE)
        heavy = imported(project) - others
        for extra in ((), BARE):
            timed(project, *extra)
        with_plugin, without = [], []
        for index in range(pairs):
            # Which of the two goes first alternates, so that drift of the machine cancels.
            for extra in ((), BARE) if index % 2 else (BARE, ()):
                (without if extra else with_plugin).append(timed(project, *extra))
    cost = 0.0
    for name, which in (("processor", 1), ("wall clock", 0)):
        pairs_ms = [
            (1000 * plain[which], 1000 * (full[which] - plain[which]))
            for full, plain in zip(with_plugin, without, strict=True)
        ]
        differences = [difference for _, difference in pairs_ms]
        cost = statistics.median(differences)
        low, _, high = statistics.quantiles(differences, n=4)
        bare = statistics.median(plain for plain, _ in pairs_ms)
        print(
            f"{name:<10}  plain run {bare:7.1f} ms   the plugin adds {cost:5.1f} ms "
            f"(median of {pairs} pairs, quartiles {low:.1f} and {high:.1f})"
        )
    print(f"heavy modules by the plugin    {', '.join(sorted(heavy)) or 'none'}")
    print(f"heavy modules by other plugins {', '.join(sorted(others)) or 'none'}")
    return int(cost > BAR_MS or bool(heavy))


if __name__ == "__main__":
    raise SystemExit(main())
