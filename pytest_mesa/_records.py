"""The bodies of ledger records: what a verdict, or a run that broke, leaves behind."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mesa.registry.loader import LoadedPrediction
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import canonical
from pytest_mesa.subjects.references import revision_of
from pytest_mesa.subjects.schemes import judged
from pytest_mesa.verdicts.evidence import Evidence, Measurement
from pytest_mesa.verdicts.reasons import Outcome

if TYPE_CHECKING:
    from pytest_mesa.verdicts.verdict import Verdict

DISTRIBUTION = "pytest-mesa"
_VERSIONS = ("torch", "transformers", "numpy")
_GIT_TIMEOUT_S = 10
# Each run rewrites these, so their state says nothing about what was run.
_OUTPUTS = (":(exclude)ledger.jsonl*", ":(exclude)RESULTS.md")


class RunError(Exception):
    """A run that broke: a reason from a short list, a sentence, and a traceback if code raised."""

    def __init__(self, reason: str, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.trace = trace


def verdict_record(
    loaded: LoadedPrediction,
    root: Path,
    model_ref: str | None,
    verdict: Verdict,
    evidence: Evidence,
) -> dict[str, Any]:
    """The body of a verdict's record. Without an estimate where nothing was measured."""
    numbers = verdict.to_json()
    outcome = numbers.pop("outcome")
    body = _about(loaded, root, model_ref)
    body["model"] |= _loaded(evidence.subjects)
    body |= numbers | {"verdict": outcome, "reason": numbers["reason"] or ""}
    body.setdefault("competence", {})
    _enrich(body["subjects"], evidence.subjects)
    _enrich(body["controls"], (*evidence.must_detect, *evidence.must_not_detect))
    body["exhibit"] = evidence.exhibit
    return body


def error_record(
    loaded: LoadedPrediction, root: Path, model_ref: str | None, reason: str, message: str
) -> dict[str, Any]:
    """The body of the record of a run that broke."""
    return _about(loaded, root, model_ref) | {
        "verdict": Outcome.ERROR.value,
        "reason": str(reason),
        "message": message,
        "alpha": loaded.prediction.verdict.alpha,
    }


def session_record(root: Path, counts: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the record that stands before a session's verdicts."""
    return {
        "kind": "run",
        "plugin": _version(DISTRIBUTION),
        "git": git_state(root),
        "env": environment(),
        "counts": dict(counts),
    }


def subject_name(loaded: LoadedPrediction, model_ref: str | None) -> str:
    """The line-up in a few words, for ``model.ref`` and for tables."""
    return ", ".join(
        _subject(spec, model_ref) for spec in judged(loaded.prediction.subjects, model_ref)
    )


@cache
def environment() -> dict[str, str]:
    """What the numbers may depend on: interpreter, libraries, machine."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _VERSIONS},
        "platform": platform.platform(),
        "cpu": _cpu(),
    }


@cache
def git_state(root: Path) -> dict[str, Any]:
    """The commit that ``root`` is at, and whether tracked or new files differ from it.

    Empty outside a repository. The ledger and what is rendered from it do not count.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(root, "status", "--porcelain", "--", ".", *_OUTPUTS)
    return {"commit": commit, "dirty": bool(changes)}


def _about(loaded: LoadedPrediction, root: Path, model_ref: str | None) -> dict[str, Any]:
    """What every record says: which claim, on what, from which file, with which software."""
    prediction = loaded.prediction
    rule = prediction.verdict
    return {
        "kind": "verdict",
        "prediction": loaded.id,
        "lineup": model_ref or "",
        "claim": {
            "title": prediction.title,
            "claim": prediction.claim,
            "notes": list(prediction.notes),
            "tags": list(prediction.tags),
            "experiment": prediction.experiment.kind,
            "estimand": rule.estimand,
            "quantifier": rule.quantifier,
            "regions": {
                "predicted": rule.predicted.model_dump(exclude_none=True),
                "refuted": rule.refuted.model_dump(exclude_none=True),
            },
        },
        "spec_sha": loaded.sha,
        "src": {"file": loaded.name, "line": loaded.line},
        "model": {
            "ref": subject_name(loaded, model_ref),
            "revision": revision_of(model_ref) if model_ref else "",
            "weights_sha": "",
        },
        "seed": prediction.seed,
        "env": environment(),
        "plugin": _version(DISTRIBUTION),
        "git": git_state(root),
    }


def _subject(spec: SubjectSpec, model_ref: str | None) -> str:
    if spec.released:
        return model_ref or ""
    if spec.ref:
        return spec.ref
    name = f"recipe:{spec.recipe}" if spec.recipe else f"compiled:{spec.compiled}"
    if spec.untrained:
        name += " untrained"
    return f"{name} ({spec.seeds} seeds)" if spec.seeds > 1 else name


def _enrich(entries: list[dict[str, Any]], measurements: tuple[Measurement, ...]) -> None:
    """Add what the decision does not read, but a reader of the record may ask for."""
    for entry, measurement in zip(entries, measurements, strict=True):
        if measurement.weights_sha:
            entry["weights_sha"] = measurement.weights_sha
        if measurement.detail:
            entry["detail"] = measurement.detail


def _loaded(subjects: tuple[Measurement, ...]) -> dict[str, Any]:
    """What ``model`` says beside the reference: the weights' hash, and how they were loaded.

    The latter only where it is the same for all subjects. The hash is then that of the files,
    which anybody can compute.
    """
    ways = [subject.detail.get("model") for subject in subjects]
    loaded = dict(ways[0]) if ways and ways[0] and all(way == ways[0] for way in ways) else {}
    if not loaded.get("revision"):
        loaded.pop("revision", None)
    return {"weights_sha": _weights_sha(subjects)} | loaded


def _weights_sha(subjects: tuple[Measurement, ...]) -> str:
    """The subject's weights' hash, or that of the list of hashes where there are several."""
    shas = [subject.weights_sha for subject in subjects if subject.weights_sha]
    if len(shas) < 2:
        return shas[0] if shas else ""
    return hashlib.sha256(canonical(shas)).hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
