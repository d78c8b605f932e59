"""The command line's and the ini file's values, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.registry.loader import SUFFIXES
from pytest_mesa.registry.lock import Lock, LockError, read_lock
from pytest_mesa.session import Settings
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.listed_references import can_be_listed, listed
from pytest_mesa.subjects.references import short_name, with_options


class Gate(StrEnum):
    """Outcomes that can make a run fail."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    DRIFT = "drift"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Options:
    """What this session was asked to do.

    ``folders`` are the registry's own directories, in which every YAML file is a spec.
    ``paths_given`` tells that the user named what to collect. ``models`` maps the short name
    in an item's id to the model reference. ``hardware`` are the environment variables that
    tell every process where models run and how much memory they may take. ``compare`` names
    the release to compare with; files it may name are relative to ``here``.
    """

    root: Path
    folders: tuple[Path, ...]
    paths_given: bool
    models: dict[str, str]
    hardware: dict[str, str]
    fail_on: frozenset[Gate]
    locked: bool
    ledger: Path
    results: Path
    settings: Settings
    here: Path
    compare: str | None
    report: Path | None

    @cached_property
    def gathered(self) -> dict[str, str]:
        """The models as one ladder, by its short name, beside those given as ladders."""
        single = {name: ref for name, ref in self.models.items() if can_be_listed(ref)}
        if len(single) < 2:
            return self.models
        ladder = listed(single.values())
        apart = {name: ref for name, ref in self.models.items() if name not in single}
        return apart if ladder in apart.values() else {short_name(ladder): ladder} | apart


def read_options(config: pytest.Config) -> Options:
    """Read and check the options.

    Raises:
        pytest.UsageError: a value that is not understood, or no place to find predictions.
    """
    executor = config.getoption("mesa_executor")
    if executor != "local":
        known = "is not available in this version" if executor == "ray" else "is unknown"
        raise pytest.UsageError(f"--mesa-executor: '{executor}' {known}; there is: local")
    root = config.rootpath
    here = config.invocation_params.dir
    folders = tuple(root / name for name in config.getini("mesa_predictions"))
    paths_given = config.args_source is pytest.Config.ArgsSource.ARGS
    lock = root / "mesa.lock"
    if not paths_given and not any(folder.is_dir() for folder in folders):
        folders = (shipped("predictions"),)
        lock = shipped("mesa.lock")
    cache = config.getoption("mesa_cache_dir")
    ledger = _path(here, config.getoption("mesa_ledger"), root / "ledger.jsonl")
    return Options(
        root=root,
        folders=tuple(folder for folder in folders if folder.is_dir()),
        paths_given=paths_given,
        models=_models(
            config.getoption("mesa_model"),
            dtype=config.getoption("mesa_dtype") or "",
            remote_code=config.getoption("mesa_trust_remote_code"),
        ),
        hardware=_hardware(config.getoption("mesa_device"), config.getoption("mesa_memory")),
        fail_on=_gates(config.getoption("mesa_fail_on")),
        locked=config.getoption("mesa_locked"),
        ledger=ledger,
        results=_path(here, config.getoption("mesa_results"), root / "RESULTS.md"),
        settings=Settings(
            root=root,
            cache_dir=_path(here, cache, root / ".mesa-cache"),
            lock=_lock(lock),
            retrain=config.getoption("mesa_retrain"),
            # Cells must see one thread in every process, or sums differ between -n 2 and none.
            workers=0 if is_xdist_worker(config) else None,
            ledger=ledger,
        ),
        here=here,
        compare=config.getoption("mesa_compare"),
        report=here / report if (report := config.getoption("mesa_report")) else None,
    )


def is_xdist_worker(config: pytest.Config) -> bool:
    """Whether this process runs items for a pytest-xdist controller."""
    return hasattr(config, "workerinput")


def is_distributed(config: pytest.Config) -> bool:
    """Whether this process is a controller whose workers run the items."""
    return config.getoption("dist", "no") != "no" and not is_xdist_worker(config)


def is_spec_file(path: Path) -> bool:
    """Whether the name is that of a YAML file."""
    return path.name.endswith(SUFFIXES)


def file_name(path: Path, root: Path) -> str:
    """A spec's file as ids, messages and records call it: relative, with ``/``.

    The shipped registry is named as in a checkout, so that a record is the same wherever the
    package lies.
    """
    for base in (root, shipped("predictions").parent):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def _path(here: Path, given: str | None, default: Path) -> Path:
    return here / given if given else default


def _gates(text: str) -> frozenset[Gate]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["none"]:
        return frozenset()
    known = [gate.value for gate in Gate]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, [*known, "none"])
            there_are = f"there are {', '.join(known)}, or none alone"
            raise pytest.UsageError(f"--mesa-fail-on: unknown '{name}'; {hint or there_are}")
    if not names:
        raise pytest.UsageError("--mesa-fail-on: the list is empty; write none to gate nothing")
    return frozenset(Gate(name) for name in names)


def _lock(path: Path) -> Lock:
    try:
        return read_lock(path)
    except LockError as error:
        raise pytest.UsageError(str(error)) from None


def _models(refs: list[str], *, dtype: str, remote_code: bool) -> dict[str, str]:
    """Short names for ids: the last part of a reference, or all of it where that is taken."""
    if "" in refs:
        raise pytest.UsageError("--mesa-model: the reference is empty")
    try:
        refs = [with_options(ref, dtype=dtype, remote_code=remote_code) for ref in refs]
    except SubjectError as error:
        raise pytest.UsageError(f"--mesa-model: {error}") from None
    refs = list(dict.fromkeys(refs))
    short = [short_name(ref) for ref in refs]
    return {
        (name if short.count(name) == 1 else ref): ref
        for name, ref in zip(short, refs, strict=True)
    }


def _hardware(device: str | None, memory: str | None) -> dict[str, str]:
    try:
        if memory is not None and not 0 < float(memory) < float("inf"):
            raise ValueError
    except ValueError:
        raise pytest.UsageError(
            f"--mesa-memory: a positive number of GiB, not {memory!r}"
        ) from None
    given = {"MESA_DEVICE": device, "MESA_MEMORY": memory}
    return {name: value for name, value in given.items() if value}
