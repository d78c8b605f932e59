"""Turns ``--mesa-predictions`` on for one session."""

from __future__ import annotations

import os

import pytest

from pytest_mesa._plugin.collect import Collector
from pytest_mesa._plugin.items import Reports
from pytest_mesa._plugin.lab import LAB, Lab, Silent
from pytest_mesa._plugin.options import is_distributed, is_xdist_worker, read_options
from pytest_mesa._plugin.recorder import Recorder
from pytest_mesa._plugin.screen import make_progress

_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def activate(config: pytest.Config) -> None:
    """Read the options, point pytest at the predictions, and register the hooks.

    Raises:
        pytest.UsageError: an option's value, or a registry that is not there.
    """
    options = read_options(config)
    if not options.paths_given:
        if not options.folders:
            raise pytest.UsageError(
                "--mesa-predictions: there is no directory 'predictions' here, and none "
                "ships with this installation; name the files or directories to collect"
            )
        config.args[:] = [str(folder) for folder in options.folders]
        config.args_source = pytest.Config.ArgsSource.ARGS
    # One malformed spec must not keep the others from running.
    config.option.continue_on_collection_errors = True
    config.addinivalue_line("markers", "mesa: every prediction carries this marker")
    config.addinivalue_line("markers", "released: a prediction on a model of --mesa-model")
    worker = is_xdist_worker(config)
    if worker:
        # Cells run in this process then, and must add up numbers as the local executor's
        # single-threaded processes do.
        os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    # The processes that compute cells know nothing else of this session's options.
    os.environ.update(options.hardware)
    lab = Lab(options, Silent() if worker else make_progress(config))
    config.stash[LAB] = lab
    collector = Collector(options)
    config.pluginmanager.register(collector, "mesa-collector")
    config.pluginmanager.register(Reports(), "mesa-reports")
    if not worker:
        recorder = Recorder(options, lab, collector, distributed=is_distributed(config))
        config.pluginmanager.register(recorder, "mesa-recorder")
    config.add_cleanup(lab.close)
