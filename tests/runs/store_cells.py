"""Cell functions for the tests of `runs`; worker processes import this module by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_mesa.runs.cells import Cell, Result

Params = Mapping[str, Any]
Inputs = tuple[Result, ...]


def add(params: Params, inputs: Inputs, folder: Path) -> Any:
    """Sum a number and the inputs' sums; log the computation, keep a file, take a while."""
    if "log" in params:
        with Path(params["log"]).open("a") as log:
            log.write(f"{params['name']}\n")
    time.sleep(params.get("sleep", 0))
    total = params["n"] + sum(result.payload["sum"] for result in inputs)
    (folder / "sum.txt").write_text(str(total))
    return {"sum": total, "threads": os.environ.get("OMP_NUM_THREADS"), "pid": os.getpid()}


def fail(params: Params, inputs: Inputs, folder: Path) -> Any:
    """Raise."""
    raise ZeroDivisionError("planted")


def leave(params: Params, inputs: Inputs, folder: Path) -> Any:
    """End the process without a word."""
    (folder / "half").write_text("written")
    os._exit(7)


def die(params: Params, inputs: Inputs, folder: Path) -> Any:
    """Die as by the out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def not_a_number(params: Params, inputs: Inputs, folder: Path) -> Any:
    """Return what JSON can't hold."""
    return {"loss": float("nan")}


def quit_python(params: Params, inputs: Inputs, folder: Path) -> Any:
    """Ask the interpreter to end."""
    raise SystemExit(3)


def interrupted(params: Params, inputs: Inputs, folder: Path) -> Any:
    """Get the signal that Ctrl-C sends to every process of a terminal, and go on."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    return {"sum": params["n"]}


def cell(function: str = "add", inputs: tuple[Cell, ...] = (), **params: Any) -> Cell:
    """A cell of this module."""
    params.setdefault("n", 1)
    label = str(params.get("name", function))
    return Cell(f"test-{function}", 1, params, f"store_cells:{function}", inputs, label)
