"""pytest's hooks and nothing else.

Every pytest run of everybody who installed the package imports this module, so it imports
nothing but pytest itself. ``--mesa-predictions`` is the switch: without it no other module of
the package is loaded, and with it `pytest_mesa._plugin.activate` brings in the rest.
"""

from __future__ import annotations

import pytest

FAIL_ON = "fail,error"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the ``--mesa-*`` options and the ini value ``mesa_predictions``."""
    group = parser.getgroup("mesa", "predictions about optimisation inside neural networks")
    add = group.addoption
    add(
        "--mesa-predictions",
        action="store_true",
        help="collect predictions: from the .yaml files and directories given as arguments "
        "(ordinary tests found there are collected too); without arguments from the "
        "directories of ini mesa_predictions, or else from the registry that ships with "
        "pytest-mesa",
    )
    add(
        "--mesa-model",
        action="append",
        default=[],
        metavar="REF",
        help="fill the 'released' slot of specs with this model (repeatable; run just these items "
        "with -m released): a hub id ORG/NAME[@REVISION], a local directory, a .gguf file, an lc0 "
        ".pb.gz file, or SCHEME:REST with scheme hf, gguf, lc0, recipe, compiled or bundled "
        "(bundled:smollm2-135m, bundled:gemma3-270m, bundled:maia-1900; see 'mesa subjects'). "
        "Specs that follow a ladder of sizes take all models given as one ladder; ladder:REF;REF;… "
        "is another, and ladder:DIR a directory of saved nets",
    )
    add(
        "--mesa-device",
        metavar="DEVICE",
        help="where models run: cpu, cuda, cuda:1, mps (default: CUDA, else MPS, else the CPU)",
    )
    add(
        "--mesa-dtype",
        choices=("float32", "bfloat16", "float16"),
        help="numbers that the models of --mesa-model are loaded in (default: float32, or bfloat16 "
        "where an experiment only reads plain runs and the hardware computes in it)",
    )
    add(
        "--mesa-memory",
        metavar="GIB",
        help="memory that a model may take; larger ones are refused before they are loaded "
        "(default: what is free)",
    )
    add(
        "--mesa-trust-remote-code",
        action="store_true",
        help="let the models of --mesa-model run Python code of their own; the record says so",
    )
    add(
        "--mesa-executor",
        default="local",
        metavar="NAME",
        help="where cells are computed: local (the only one in this version)",
    )
    add(
        "--mesa-cache-dir",
        metavar="DIR",
        help="where finished cells are kept (default: ROOTDIR/.mesa-cache); write it with =, since "
        "pytest takes a path that stands alone for one that sets its root directory",
    )
    add(
        "--mesa-retrain",
        action="store_true",
        help="train every network anew instead of taking the frozen ones that ship",
    )
    add(
        "--mesa-ledger",
        metavar="FILE",
        help="the ledger that verdicts are appended to (default: ROOTDIR/ledger.jsonl)",
    )
    add(
        "--mesa-results",
        metavar="FILE",
        help="where the ledger is rendered (default: ROOTDIR/RESULTS.md)",
    )
    add(
        "--mesa-report",
        metavar="FILE",
        help="also write the ledger as one HTML file",
    )
    add(
        "--mesa-locked",
        action="store_true",
        help="do not run a spec that differs from mesa.lock; the run ends with status 11",
    )
    add(
        "--mesa-fail-on",
        default=FAIL_ON,
        metavar="LIST",
        help="comma-separated outcomes that make the run fail: fail and error (status 1), "
        "inconclusive (status 10), drift (the verdict differs from the newest one in the "
        "ledger, or from that of --mesa-compare, status 1), regression (likewise, but only a "
        "claim that held and is refuted by the same spec on other weights), or none "
        f"(default: {FAIL_ON}). Status 12 means that the ledger could not be written or is "
        "damaged",
    )
    add(
        "--mesa-compare",
        metavar="SIDE",
        help="compare each verdict with that of a release before: a line-up or model of the "
        "ledger, @REVISION, a git commit or tag, or another ledger file",
    )
    parser.addini(
        "mesa_predictions",
        "directories of predictions, relative to the rootdir",
        type="args",
        default=["predictions"],
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Load everything else, if predictions are asked for."""
    if config.getoption("mesa_predictions"):
        from pytest_mesa._plugin.activate import activate

        activate(config)
    elif config.getoption("mesa_model"):
        raise pytest.UsageError("--mesa-model fills slots of predictions: add --mesa-predictions")
