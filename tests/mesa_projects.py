"""A small project with predictions of a third party's kind, run in fresh processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

FAKELAB = Path(__file__).parent / "fakelab"

SPEC = """\
prediction: {name}
title: The claim of {name}
claim: A claim.
tags: [{tags}]
subjects:
  - {subject}
competence: {{at_least: 0.9}}
experiment: {{kind: fake{extra}}}
controls:
  must_detect: [{{compiled: planted}}]
  must_not_detect: [{{recipe: blank}}]
verdict:
  estimand: share
  predicted: {{below: 0.25}}
  refuted: {{above: 0.5}}
  budget: 400
"""


class Project:
    """A directory with specs, in which pytest and ``mesa`` run as a user would run them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.log = self.root / "cells.log"
        self.ledger = self.root / "ledger.jsonl"

    def spec(
        self,
        name: str,
        extra: str = "",
        *,
        subject: str = "recipe: net",
        tags: str = "",
        folder: str = "predictions",
    ) -> Path:
        """Write one spec. ``extra`` are fields of the fake experiment."""
        path = self.root / folder / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        # One net a claim, so that claims share no cell unless they mean to.
        subject = subject.replace("net", f"net-{name}")
        extra = f", {extra}" if extra else ""
        text = SPEC.format(name=name, extra=extra, subject=subject, tags=tags)
        path.write_text(text, "utf-8")
        return path

    def pytest(self, *arguments: str | Path, timeout: float = 60) -> pytest.RunResult:
        """Run pytest on predictions in a fresh process."""
        return self.pytester.runpytest_subprocess("--mesa-predictions", *arguments, timeout=timeout)

    def mesa(self, *arguments: str | Path) -> pytest.RunResult:
        """Run the ``mesa`` command in a fresh process."""
        return self.pytester.run(sys.executable, "-m", "pytest_mesa.cli", *arguments, timeout=60)

    def records(self, kind: str = "verdict") -> list[dict[str, Any]]:
        """The ledger's records of one kind."""
        if not self.ledger.exists():
            return []
        lines = self.ledger.read_text("utf-8").splitlines()
        return [record for line in lines if (record := json.loads(line))["kind"] == kind]

    def computed(self) -> list[str]:
        """The names of the cells computed since the last call, sorted."""
        if not self.log.exists():
            return []
        names = sorted(self.log.read_text().split())
        self.log.unlink()
        return names


def write_spec(folder: Path, name: str, extra: str = "", subject: str = "recipe: net") -> Path:
    """Write one spec of the fake kind."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    extra = f", {extra}" if extra else ""
    path.write_text(SPEC.format(name=name, extra=extra, subject=subject, tags=""), "utf-8")
    return path
