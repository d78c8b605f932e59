"""``mesa publish``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from pytest_mesa._cli.common import UserError, open_ledger, out
from pytest_mesa.ledger.index import Index
from pytest_mesa.ledger.sides import SideError
from pytest_mesa.registry.files import write_atomically
from pytest_mesa.report.release import Release, release

_STEP = "GITHUB_STEP_SUMMARY"
_OUTPUT = "GITHUB_OUTPUT"


def publish(options: argparse.Namespace) -> int:
    """Publish the verdicts of a release, in every form that is asked for."""
    forms = (options.github, options.badge, options.junit, options.markdown, options.hub)
    if not any(forms):
        raise UserError("say what to publish: --github, --badge, --junit, --markdown or --hub", 2)
    if options.dry_run and not options.hub:
        raise UserError("--dry-run goes with --hub: the other forms only write files", 2)
    if options.github and not os.environ.get(_STEP):
        raise UserError(
            f"--github: {_STEP} is not set, as it is in a step of GitHub Actions; elsewhere "
            "--markdown FILE writes the summary"
        )
    index = open_ledger(options.ledger)
    shown = _release(index, options.release, options.compare)
    for path, text in _files(options, shown):
        _write(path, text)
        # In a step of GitHub Actions what is printed may be read as a command.
        out(f"wrote {path}")
    if options.github:
        _github(shown)
    if options.hub:
        _hub(options, index, shown)
    return 0


def _release(index: Index, name: str | None, before: str | None) -> Release:
    try:
        return release(index, name, before, Path.cwd())
    except SideError as error:
        raise UserError(str(error)) from None


def _files(options: argparse.Namespace, shown: Release) -> list[tuple[Path, str]]:
    from pytest_mesa.report.badge import badge
    from pytest_mesa.report.junit import junit
    from pytest_mesa.report.summary import summary

    forms: list[tuple[Path | None, Callable[[Release], str]]] = [
        (options.badge, badge),
        (options.junit, junit),
        (options.markdown, summary),
    ]
    return [(path, render(shown)) for path, render in forms if path is not None]


def _github(shown: Release) -> None:
    """Append to the step's summary what still fits, annotate, and set the step's outputs."""
    from pytest_mesa.report.github import SUMMARY_BYTES, commands, outputs
    from pytest_mesa.report.summary import summary

    step = Path(os.environ[_STEP])
    taken = step.stat().st_size if step.exists() else 0
    _append(step, summary(shown, limit=SUMMARY_BYTES - taken))
    for command in commands(shown.records):
        out(command)
    if output := os.environ.get(_OUTPUT):
        _append(Path(output), outputs(shown))


def _hub(options: argparse.Namespace, index: Index, shown: Release) -> None:
    from pytest_mesa.report import hub

    model = options.hub.removeprefix("hf:").partition("@")[0]
    if options.release is None:
        shown = _release(index, options.hub, options.compare)
    measured = [record for record in shown.records if "estimate" in record]
    if not measured:
        raise UserError(f"--hub: there is no verdict with an estimate for {model}")
    address = hub.run_address(os.environ)
    try:
        current = "" if options.dry_run else hub.fetch(model)
        card = hub.card_text(current, model, measured, address)
        if options.dry_run:
            out(f"would push to {model}, into the metadata of {hub.CARD}:")
            out(card.rstrip("\n"))
            return
        out(f"pushed to {hub.push(model, card, create_pr=options.create_pr)}")
    except ImportError:
        raise UserError("--hub needs the package huggingface_hub; install it with pip") from None
    except hub.HubError as error:
        raise UserError(f"--hub: {error}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None
