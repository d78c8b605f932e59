"""The GitHub action: its YAML, and every one of its steps run as a runner would run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from mesa_projects import Project

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
WORKFLOW = ROOT / ".github" / "workflows" / "release-verdicts.yml"
TOKEN = "hf_thisIsNoToken0123456789"


class Runner:
    """As much of GitHub's runner as the action's steps need."""

    def __init__(self, project: Project, **inputs: str) -> None:
        self.root = project.root
        self.summary = self.root / "step-summary.md"
        given = {name: str(value.get("default", "")) for name, value in ACTION["inputs"].items()}
        assert inputs.keys() <= given.keys()
        self.known = {f"inputs.{name}": value for name, value in (given | inputs).items()}
        self.ran: dict[str, subprocess.CompletedProcess[str]] = {}

    def run(self) -> int:
        """Run the steps in order, up to the first one that fails; its status, or 0."""
        for step in STEPS:
            if "if" in step and not self._holds(step["if"]):
                continue
            done = self._step(step)
            self.ran[step["name"]] = done
            if done.returncode:
                return done.returncode
        return 0

    def _step(self, step: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        output = self.root / f"output-{len(self.ran)}"
        output.touch()
        environ = dict(os.environ) | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_ACTION_PATH": str(ROOT),
            "HF_TOKEN": TOKEN,
        }
        environ |= {name: self._value(text) for name, text in step.get("env", {}).items()}
        # What a runner makes of `shell: bash`.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            command, cwd=self.root, env=environ, capture_output=True, text=True, timeout=120
        )
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.known[f"steps.{step.get('id')}.outputs.{name}"] = value
        return done

    def _value(self, text: str) -> str:
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda match: self.known[match[1]], text)

    def _holds(self, condition: str) -> bool:
        name, equal, value = re.fullmatch(  # type: ignore[union-attr]
            r"\$\{\{ ([\w.-]+) (==|!=) '(\w*)' \}\}", condition
        ).groups()
        return (self.known[name] == value) is (equal == "==")


@pytest.fixture
def released(project: Project) -> Project:
    project.spec("upheld")
    project.spec("open", "score: 0.4")
    assert project.mesa("lock").ret == 0
    return project


def test_a_release_runs_from_the_table_to_the_model_card(released: Project) -> None:
    runner = Runner(released, install="false", output="out", hub="recipe:net-upheld")
    assert runner.run() == 0
    page = runner.summary.read_text("utf-8")
    assert page.startswith("# Verdicts\n\n1 pass, 1 inconclusive.\n\n| prediction |")
    out = {path.name for path in (released.root / "out").iterdir()}
    assert out == {
        "report.html", "pytest.xml", "badge.json", "verdicts.xml", "summary.md", "diff.json"
    }  # fmt: skip
    assert json.loads((released.root / "out" / "badge.json").read_text())["color"] == "yellow"
    published = runner.ran["Publish"].stdout
    assert "::warning file=predictions/open.yaml,line=1,col=1," in published
    assert "2 verdicts compared: 2 new" in runner.ran["Compare with the verdicts before"].stdout
    assert "the chain holds" in runner.ran["Check the ledger"].stdout
    assert "would push to" in runner.ran["Put the verdicts on the model's card"].stdout
    assert runner.known["steps.run.outputs.status"] == "0"
    counts = [runner.known[f"steps.publish.outputs.{word}"] for word in ("pass", "inconclusive")]
    assert counts == ["1", "1"]
    everything = [*released.root.rglob("*.*"), *released.root.glob("output-*")]
    kept = b"".join(path.read_bytes() for path in everything if path.is_file())
    assert TOKEN.encode() not in kept
    assert all(TOKEN not in done.stdout + done.stderr for done in runner.ran.values())


def test_a_refuted_claim_fails_the_job_after_everything_is_published(released: Project) -> None:
    assert released.pytest("--mesa-ledger=before.jsonl").ret == 0
    released.spec("upheld", "score: 1.0")
    assert released.mesa("lock").ret == 0
    runner = Runner(released, install="false", ledger="kept/ledger.jsonl", compare="before.jsonl")
    assert runner.run() == 1
    assert list(runner.ran)[-1] == "End as the run did"
    assert (released.root / "mesa-output" / "report.html").exists()
    assert (released.root / "kept" / "RESULTS.md").exists()
    assert "::error file=predictions/upheld.yaml" in runner.ran["Publish"].stdout
    assert "other spec" in runner.summary.read_text("utf-8")


def test_a_spec_that_differs_from_its_lock_ends_the_job_with_its_status(released: Project) -> None:
    released.spec("open", "score: 0.1")
    assert Runner(released, install="false").run() == 11


def test_inputs_are_values_never_code(released: Project) -> None:
    """No input is put into a script's text, where it would be run."""
    for step in STEPS:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
    hostile = "$(touch owned); `touch owned` \"'; touch owned #"
    late = Runner(released, install="false", models=hostile, output=hostile, hub=hostile)
    assert late.run() == 1
    assert "is no line-up" in late.ran["Put the verdicts on the model's card"].stderr
    early = Runner(released, **{"install": "false", "compare": hostile, "fail-on": "none"})
    assert early.run() != 0
    assert not (released.root / "owned").exists()


def test_models_and_specs_are_given_one_a_line(released: Project) -> None:
    released.spec("asked", subject="released: true")
    runner = Runner(
        released,
        install="false",
        locked="false",
        models="recipe:one\n\nrecipe:two\n",
        predictions="predictions/asked.yaml\n",
    )
    assert runner.run() == 0
    assert sorted(record["lineup"] for record in released.records()) == ["recipe:one", "recipe:two"]


def test_each_release_after_the_first_is_forecast_before_it_is_measured(released: Project) -> None:
    expect = "State what the releases before let one expect"
    first = Runner(released, install="false", predictions="predictions/open.yaml\n")
    assert first.run() == 0
    assert first.ran[expect].stdout == ""
    second = Runner(released, install="false", predictions="predictions/open.yaml\n")
    assert second.run() == 0
    assert "nothing is watched" in second.ran[expect].stdout
    names = [step["name"] for step in STEPS]
    assert names.index(expect) < names.index("Run the predictions")


def test_outputs_name_steps_and_outputs_that_there_are() -> None:
    ids = {step["id"]: step for step in STEPS if "id" in step}
    for name, output in ACTION["outputs"].items():
        (step, told) = re.fullmatch(
            r"\$\{\{ steps\.(\w+)\.outputs\.(\w+) \}\}", output["value"]
        ).groups()  # type: ignore[union-attr]
        assert step in ids
        assert told == name


def test_the_example_gives_inputs_that_the_action_has() -> None:
    steps = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["verdicts"]["steps"]
    (ours,) = [step for step in steps if step.get("uses") == "./"]
    assert ours["with"].keys() <= ACTION["inputs"].keys()
    kept = next(step for step in steps if "upload-artifact" in step.get("uses", ""))
    assert kept["if"] == "always()"
    assert ours["with"]["ledger"].startswith(f"{kept['with']['path'].split()[0]}/")


@pytest.mark.parametrize(
    ("file", "schema"),
    [(ROOT / "action.yml", "github-actions"), (WORKFLOW, "github-workflows")],
    ids=["action", "workflow"],
)
def test_the_yaml_is_what_githubs_published_schema_asks_for(file: Path, schema: str) -> None:
    """The SchemaStore's schemas, as check-jsonschema ships them."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
