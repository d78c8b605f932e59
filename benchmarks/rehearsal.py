"""Three releases of one net through the very commands that ``action.yml`` runs.

    python benchmarks/rehearsal.py [FOLDER]

Checkpoints of a small knapsack decoder are saved by ``save_pretrained`` along its training, and
each is released in turn: the steps of the action are taken from its YAML and run by bash, with
one ledger kept from release to release. What each step printed, its exit status and the files
left behind are shown; the run fails where a step does that has to succeed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHECKPOINTS = (20, 60, 200)  # training steps
SPECS = {
    "releases-heuristic": """\
prediction: releases-heuristic
title: Releases run on heuristics
claim: Where a heuristic and the exact algorithm part, a release goes with the heuristic.
subjects: [{released: true}]
competence: {at_least: 0.3, budget: 500}
experiment:
  kind: agreement
  task: {kind: knapsack}
  rivals: [greedy-ratio, greedy-value]
controls:
  must_detect: [{compiled: prefix-dp}]
  must_not_detect: [{compiled: greedy-ratio}]
verdict:
  estimand: exact-advantage
  predicted: {below: 0.2}
  refuted: {above: 0.5}
  budget: 1200
""",
    "releases-do-not-leap": """\
prediction: releases-do-not-leap
title: No release leaps
claim: From release to release the exact algorithm's advantage grows without a leap.
subjects: [{released: true}]
competence: {at_least: 0.01}
experiment: {kind: forecast, watch: {releases-heuristic: {low: -1, high: 1}}}
controls:
  must_detect: [{ref: "sequence:planted-jump"}]
  must_not_detect: [{ref: "sequence:planted-smooth"}]
verdict:
  estimand: forecast-distance
  predicted: {below: 1}
  refuted: {above: 1.05}
""",
}


def save_releases(folder: Path) -> list[Path]:
    """Train, and save the net at each checkpoint as its user would."""
    import dataclasses

    import torch

    from pytest_mesa.subjects.recipes import LADDERS
    from pytest_mesa.subjects.training import Trainer

    torch.set_num_threads(1)
    recipe = dataclasses.replace(LADDERS["knapsack-fixed-steps"][4], steps=CHECKPOINTS[-1])
    trainer = Trainer(recipe, 90)
    saved = []
    for step in range(1, recipe.steps + 1):
        trainer.step()
        if step in CHECKPOINTS:
            saved.append(folder / f"release-{len(saved) + 1}")
            trainer.decoder.model.save_pretrained(saved[-1])
    return saved


def run_action(folder: Path, model: str, before: str) -> bool:
    """The action's steps on one release, compared with the one before; whether all went well."""
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    given = {name: str(value.get("default", "")) for name, value in action["inputs"].items()}
    given |= {"install": "false", "models": model, "ledger": "verdicts/ledger.jsonl"}
    # Inconclusive is what an honest registry says of most small nets; only errors gate here.
    given |= {"compare": before, "output": "verdicts", "fail-on": "error", "locked": "true"}
    known = {f"inputs.{name}": value for name, value in given.items()}
    fine = True
    for step in action["runs"]["steps"]:
        condition = re.fullmatch(r"\$\{\{ ([\w.-]+) (==|!=) '(\w*)' \}\}", step.get("if", ""))
        if condition and (known[condition[1]] == condition[3]) is not (condition[2] == "=="):
            continue
        done = run_step(folder, step, known)
        fine = fine and done.returncode == 0
        print(f"--- {step['name']} (exit status {done.returncode})")
        print((done.stdout + done.stderr).rstrip())
    return fine


def run_step(
    folder: Path, step: dict[str, Any], known: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """One step, as a runner's bash runs it; its outputs are added to what is known."""

    def value(text: str) -> str:
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda match: known[match[1]], text)

    output = folder / "github-output"
    output.write_text("", "utf-8")
    environ = dict(os.environ) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "step-summary.md"),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_ACTION_PATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    environ |= {name: value(text) for name, text in step.get("env", {}).items()}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    for line in output.read_text("utf-8").splitlines():
        name, _, told = line.partition("=")
        known[f"steps.{step.get('id')}.outputs.{name}"] = told
    return done


def rehearse(folder: Path) -> int:
    """Release after release."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    for name, text in SPECS.items():
        (folder / "predictions" / f"{name}.yaml").write_text(text, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    lock = [sys.executable, "-m", "pytest_mesa.cli", "lock"]
    subprocess.run(lock, cwd=folder, check=True, capture_output=True)
    fine, before = True, ""
    for release in save_releases(folder):
        print(f"\n=== {release.name}")
        start = time.monotonic()
        fine = run_action(folder, f"knapsack:{release.name}", before) and fine
        before = f"knapsack:{release.name}"
        print(f"=== {release.name} took {time.monotonic() - start:.1f} s")
    print("\nfiles: " + ", ".join(sorted(p.name for p in (folder / "verdicts").iterdir())))
    print((folder / "verdicts" / "summary.md").read_text("utf-8"))
    return int(not fine)


def main() -> int:
    """Rehearse in the given folder, or in one that is thrown away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    folder = parser.parse_args().folder
    if folder is not None:
        return rehearse(folder.absolute())
    with tempfile.TemporaryDirectory() as name:
        return rehearse(Path(name))


if __name__ == "__main__":
    raise SystemExit(main())
