"""Evidence with known answers, built by hand for the decision's tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_mesa.registry.models import Competence, VerdictRule
from pytest_mesa.verdicts.evidence import Combine, Evidence, Measurement, Stratum

COMPETENCE = Competence(at_least=0.9)


def rule(**changes: object) -> VerdictRule:
    """Predicted below 0.25, refuted above 0.5, unless told otherwise."""
    settings: dict[str, object] = {
        "estimand": "interchange-accuracy",
        "predicted": {"below": 0.25},
        "refuted": {"above": 0.5},
        "budget": 400,
    }
    return VerdictRule.model_validate({**settings, **changes})


def scores(mean: float, n: int = 400) -> tuple[float, ...]:
    """0/1 scores spread evenly, so that every prefix has very nearly the same mean."""
    return tuple(float(int((i + 1) * mean + 1e-9) - int(i * mean + 1e-9)) for i in range(n))


def measurement(
    label: str = "seed 0",
    means: float | Sequence[float] = 0.05,
    *,
    n: int = 400,
    combine: Combine = "hull",
    accuracy: float | None = 0.99,
    rivals: dict[str, float | Sequence[float]] | None = None,
    detection_limit: float | None = 0.35,
    seed: int | None = None,
) -> Measurement:
    """Strata ``s0``, ``s1``, … of the given means; rivals answer in each of them."""
    means = [means] if isinstance(means, float) else means

    def rival_means(given: float | Sequence[float]) -> Iterable[float]:
        return [given] * len(means) if isinstance(given, float) else given

    return Measurement(
        label=label,
        strata=tuple(Stratum(f"s{i}", scores(mean, n)) for i, mean in enumerate(means)),
        combine=combine,
        competence=() if accuracy is None else scores(accuracy, 1000),
        rivals=tuple(
            Stratum(f"{name}/s{i}", scores(mean, n))
            for name, given in (rivals or {}).items()
            for i, mean in enumerate(rival_means(given))
        ),
        detection_limit=detection_limit,
        detail={} if seed is None else {"seed": seed},
    )


DETECTED = measurement("compiled", 0.97)
CLEAR = measurement("untrained", 0.02, accuracy=0.1)


def evidence(
    *subjects: Measurement,
    must_detect: Sequence[Measurement] = (DETECTED,),
    must_not_detect: Sequence[Measurement] = (CLEAR,),
) -> Evidence:
    """Subjects beside controls that are read right, unless told otherwise."""
    return Evidence(tuple(subjects), tuple(must_detect), tuple(must_not_detect))
