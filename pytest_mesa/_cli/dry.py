"""What only the experiment's own code finds wrong with a spec, before anything is run."""

from __future__ import annotations

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import LoadedPrediction, located
from pytest_mesa.registry.models import Prediction, SubjectSpec
from pytest_mesa.session import find_study
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.references import parse

# What a name stands for here, with nothing to read.
_NAMED = ("recipe", "compiled", "scripted", "ladder", "sequence")


def dry_plan(loaded: LoadedPrediction) -> SpecErrors | None:
    """Plan a spec as a run would, but for its models by reference; None where that works.

    Those would have to be read, or even fetched, to be hashed.
    """
    try:
        study = find_study(loaded.prediction.experiment.kind)
        study.plan(_without_models(loaded.prediction))
    except SubjectError as error:
        return located(loaded, str(error), error.at)
    except Exception as error:  # an experiment kind is anybody's code; it may raise anything
        message = f"the experiment cannot be planned: {type(error).__name__}: {error}"
        return located(loaded, message, ("experiment", "kind"))
    return None


def _without_models(prediction: Prediction) -> Prediction:
    """The spec without the subjects and controls whose weights are elsewhere.

    Raises:
        SubjectError: a reference that does not read, with its place.
    """
    controls = prediction.controls
    kept = {
        role: _kept(getattr(controls, role), ("controls", role))
        for role in ("must_detect", "must_not_detect")
    }
    return prediction.model_copy(
        update={
            "subjects": _kept(prediction.subjects, ("subjects",)),
            "controls": controls.model_copy(update=kept),
        }
    )


def _kept(specs: tuple[SubjectSpec, ...], where: tuple[str, ...]) -> tuple[SubjectSpec, ...]:
    kept = []
    for index, spec in enumerate(specs):
        try:
            if spec.ref is None or parse(spec.ref).scheme in _NAMED:
                kept.append(spec)
        except SubjectError as error:
            raise SubjectError(str(error), at=(*where, index, "ref")) from None
    return tuple(kept)
