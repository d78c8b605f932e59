"""One prediction on one line-up, as a pytest item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mesa._plugin.lab import LAB
from pytest_mesa._plugin.outcome import Shown, judge, no_subject, refused
from pytest_mesa.registry.loader import LoadedPrediction
from pytest_mesa.registry.lock import LockStatus, status
from pytest_mesa.session import Run, lacks_subject

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

SHOWN = pytest.StashKey[Shown]()
RUN = pytest.StashKey[Run]()


class GatedError(Exception):
    """An outcome that makes the item fail; the message is shown as it is."""


class PredictionItem(pytest.Item):
    """Runs its prediction and turns the outcome into pytest's terms."""

    def __init__(self, *, loaded: LoadedPrediction, model_ref: str | None, **kw: Any) -> None:
        super().__init__(**kw)
        self.loaded = loaded
        self.model_ref = model_ref

    def runtest(self) -> None:
        """Run the prediction.

        Raises:
            GatedError: the outcome is one that ``--mesa-fail-on`` or ``--mesa-locked`` names.
            pytest.skip.Exception: any other outcome than a pass.
        """
        shown = self._shown()
        self.stash[SHOWN] = shown
        self.user_properties += shown.properties
        if shown.failed:
            raise GatedError(shown.text)
        if shown.category != "passed":
            raise pytest.skip.Exception(shown.headline, _use_item_location=True)

    def _shown(self) -> Shown:
        lab = self.config.stash[LAB]
        options = lab.options
        lock_status = status(self.loaded, options.settings.lock)
        if options.locked and lock_status is not LockStatus.LOCKED:
            return refused(self.loaded, lock_status)
        if lacks_subject(self.loaded, self.model_ref):
            return no_subject()
        run = lab.run(self.nodeid, self.loaded, self.model_ref)
        self.stash[RUN] = run
        details = self.config.get_verbosity() > 1
        return judge(run, options.fail_on, lab.previous(run), details=details)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        """The explanation of a gated outcome, without a traceback."""
        if isinstance(excinfo.value, GatedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, 0-based line and name."""
        return self.path, self.loaded.line - 1, self.name


class Reports:
    """Carries outcomes and records on pytest's reports, across processes too."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the lab what is to come."""
        session.config.stash[LAB].expected = [
            (item.nodeid, item.loaded, item.model_ref)
            for item in session.items
            if isinstance(item, PredictionItem)
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Put the outcome, and what is to be recorded, on the report of the call."""
        report: pytest.TestReport = yield
        if call.when == "call" and isinstance(item, PredictionItem) and SHOWN in item.stash:
            shown, run = item.stash[SHOWN], item.stash.get(RUN, None)
            report.mesa = Cargo.pack(shown, run)  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, Any] | None:
        """The outcome's own category, letter and word."""
        cargo = Cargo.of(report)
        if cargo is None or cargo.category == "passed":
            return None
        return cargo.category, cargo.letter, (cargo.word, {cargo.colour: True})


class Cargo:
    """What travels on a report: JSON text, which every transport keeps as it is."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.category: str = values["category"]
        self.letter: str = values["letter"]
        self.word: str = values["word"]
        self.colour: str = values["colour"]
        self.refused: bool = values["refused"]
        self.note: str = values["note"]
        self.record: dict[str, Any] | None = values["record"]
        self.counts: dict[str, int] = values["counts"]

    @staticmethod
    def pack(shown: Shown, run: Run | None) -> str:
        """The text for a report."""
        return json.dumps(
            {
                "category": shown.category,
                "letter": shown.letter,
                "word": shown.word,
                "colour": shown.colour,
                "refused": shown.refused,
                "note": shown.note,
                "record": run.record if run else None,
                "counts": {
                    name: getattr(run.counts, name) if run else 0
                    for name in ("computed", "stored", "frozen")
                },
            }
        )

    @classmethod
    def of(cls, report: object) -> Cargo | None:
        """What the report carries, if it is of a prediction."""
        text = getattr(report, "mesa", None)
        return cls(json.loads(text)) if isinstance(text, str) else None
