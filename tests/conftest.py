"""Fixtures: a project to run pytest and ``mesa`` in, and the fake kind in this process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesa_projects import FAKELAB, Project

pytest_plugins = ["pytester"]
# As in a worker: with two test processes, more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what it puts in the background with ctrl-C ignored, and children inherit that:
# those that are sent one here would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project that knows the kind ``fake``."""
    path = os.pathsep.join(filter(None, (str(FAKELAB), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("PYTHONPATH", path)
    # What other plugins import would double the time of each run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_mesa.plugin,xdist.plugin")
    pytester.makeini("[pytest]\n")
    made = Project(pytester)
    monkeypatch.setenv("FAKELAB_LOG", str(made.log))
    yield made


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The kind ``fake`` in this process, and an empty working directory."""
    from pytest_mesa.registry import discovery

    monkeypatch.syspath_prepend(str(FAKELAB))
    discovery._installed.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKELAB_LOG", str(tmp_path / "cells.log"))
    yield tmp_path
    discovery._installed.cache_clear()
