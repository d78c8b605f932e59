"""Record bodies for the tests of `ledger`, and a writer that other processes run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pytest_mesa.ledger.append import append


def verdict(prediction: str = "knapsack-no-dp", **changes: Any) -> dict[str, Any]:
    """A complete verdict record's body."""
    body: dict[str, Any] = {
        "kind": "verdict",
        "time": "2026-01-02T03:04:05Z",
        "prediction": prediction,
        "lineup": "",
        "claim": {
            "title": "Knapsack solvers do not rediscover dynamic programming",
            "text": "A net trained on small knapsacks does not find the table.",
            "notes": [],
            "estimand": "interchange-accuracy",
            "quantifier": "every",
            "predicted": {"below": 0.25},
            "refuted": {"above": 0.5},
        },
        "spec_sha": "5" * 64,
        "locked": "locked",
        "src": {"file": f"predictions/{prediction}.yaml", "line": 1},
        "model": {"ref": "recipe:knapsack-decoder", "revision": "", "weights_sha": "7" * 64},
        "verdict": "pass",
        "reason": "inside-predicted",
        "estimate": 0.02,
        "bounds": [0.0, 0.11],
        "alpha": 0.05,
        "n": 3000,
        "e_value": 400.0,
        "controls": [],
        "competence": {"metric": "accuracy", "at_least": 0.9, "estimate": 0.996},
        "detection_limit": 0.2,
        "subjects": [],
        "exhibit": {},
        "seed": 0,
        "env": {"python": "3.11"},
        "plugin": "0.1.0",
        "git": {"commit": "abc", "dirty": False},
        "duration_s": 12.5,
    }
    return body | changes


def error(prediction: str = "knapsack-no-dp", reason: str = "worker lost") -> dict[str, Any]:
    """An error record's body."""
    body = verdict(prediction, verdict="error", reason=reason)
    for name in ("estimate", "bounds", "n", "e_value", "controls", "competence", "subjects"):
        del body[name]
    return body


def write_forever(path: Path, name: str, size: int) -> None:
    """Append records of about ``size`` bytes, naming each on stdout once acknowledged."""
    number = 0
    while True:
        record = append(path, verdict(exhibit={"who": name, "n": number, "pad": "x" * size}))
        sys.stdout.write(f"{name} {number} {record['sha']}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    write_forever(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
