"""Record bodies for the tests of `ledger`, and a writer that other processes run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pytest_mesa.ledger.append import append


def reading(label: str, estimate: float, margin: float = 0.05, **more: Any) -> dict[str, Any]:
    """What was read off one subject or control."""
    bounds = [round(max(0.0, estimate - margin), 4), round(min(1.0, estimate + margin), 4)]
    rival = {"name": "raw-items", "estimate": 0.03, "margin": -0.01, "lower": -0.02}
    rivals = [rival | {"paired": True, "e_value": 1.0}]
    stratum = {"estimate": estimate, "bounds": bounds, "n": 1500, "rivals": rivals}
    return {
        "label": label,
        "estimate": estimate,
        "bounds": bounds,
        "n": 3000,
        "strata": [{"name": "stage 2"} | stratum, {"name": "stage 3"} | stratum],
        **more,
    }


def subject(seed: int, estimate: float, outcome: str = "pass", **more: Any) -> dict[str, Any]:
    """One subject's part in a verdict."""
    return reading(
        f"recipe:knapsack-decoder seed {seed}",
        estimate,
        outcome=outcome,
        reason=None,
        competence={"estimate": 0.996, "lower": 0.985, "n": 2000, "at_least": 0.9, "ok": True},
        detection_limit=0.2,
        weights_sha=f"{seed}" * 64,
        **more,
    )


def control(label: str, estimate: float, expected: bool, ok: bool = True) -> dict[str, Any]:
    """A control's reading."""
    detected = expected == ok
    return reading(
        label,
        estimate,
        role="must_detect" if expected else "must_not_detect",
        expected=expected,
        detected=detected,
        saved_by_rival=False,
        ok=ok,
    )


def verdict(prediction: str = "knapsack-no-dp", **changes: Any) -> dict[str, Any]:
    """A complete verdict record's body."""
    body: dict[str, Any] = {
        "kind": "verdict",
        "time": "2026-01-02T03:04:05Z",
        "prediction": prediction,
        "lineup": "",
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
        "spec_sha": "5" * 64,
        "locked": "locked",
        "src": {"file": f"predictions/{prediction}.yaml", "line": 1},
        "model": {
            "ref": "recipe:knapsack-decoder (2 seeds)",
            "revision": "",
            "weights_sha": "7" * 64,
        },
        "verdict": "pass",
        "reason": "",
        "message": "Upheld: interchange-accuracy lies below 0.25 in 2 of 2 subjects.",
        "estimate": 0.06,
        "bounds": [0.01, 0.11],
        "alpha": 0.05,
        "n": 6000,
        "decided_at": 900,
        "e_value": 400.0,
        "competence": {"estimate": 0.996, "lower": 0.985, "n": 2000, "at_least": 0.9, "ok": True},
        "detection_limit": 0.2,
        "subjects": [subject(0, 0.02), subject(1, 0.06)],
        "controls": [
            control("compiled:prefix-dp", 0.97, expected=True),
            control("recipe:knapsack-decoder untrained", 0.01, expected=False),
        ],
        "exhibit": {
            "title": "The smallest knapsack that the subject gets wrong",
            "text": "item  weight  value\n1     2       3\n2     3       4\ncapacity 5",
            "exact_value": 7,
            "answered": 4,
        },
        "seed": 0,
        "env": {"python": "3.11"},
        "plugin": "0.1.0",
        "git": {"commit": "abcdef0123456789", "dirty": False},
        "duration_s": 12.5,
    }
    return body | changes


def error(prediction: str = "knapsack-no-dp", reason: str = "worker lost") -> dict[str, Any]:
    """An error record's body."""
    body = verdict(prediction, verdict="error", reason=reason, message="it was killed by SIGKILL")
    decided = ("estimate", "bounds", "n", "decided_at", "e_value", "competence", "subjects")
    for name in (*decided, "controls", "detection_limit", "exhibit"):
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
