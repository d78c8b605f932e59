"""One cell, computed here and now: what every executor does in the end."""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass, replace
from typing import Literal, cast

from pytest_mesa._explained import CellError
from pytest_mesa.runs.cells import Cell, CellFunction, Result
from pytest_mesa.runs.store import PayloadError, Store, StoreError

FailureKind = Literal["raised", "not-json", "no-function", "worker-lost", "input-failed", "store"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell without a result, and why.

    ``cause`` is the failure that this one follows from, where an input failed.
    """

    cell: Cell
    kind: FailureKind
    message: str
    traceback: str = ""
    cause: Failure | None = None

    @property
    def root(self) -> Failure:
        """The first failure of the chain."""
        failure = self
        while failure.cause is not None:
            failure = failure.cause
        return failure


Outcome = Result | Failure


def compute(cell: Cell, store: Store) -> Outcome:
    """Compute ``cell`` and store it, or read it where another process was faster."""
    try:
        with store.claim(cell) as claim:
            found = store.get(cell)
            if found is not None:
                return found
            inputs = tuple(_input(item, store) for item in cell.inputs)
            function = load(cell.impl)
            parameters = {**cell.params, **cell.context}
            return claim.commit(function(parameters, inputs, claim.folder))
    except StoreError as error:
        return Failure(cell, "store", str(error))
    except PayloadError as error:
        return Failure(cell, "not-json", str(error))
    except ImplError as error:
        return Failure(cell, "no-function", str(error), traceback.format_exc())
    except CellError as error:
        return Failure(cell, "raised", str(error))
    except (Exception, SystemExit) as error:
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        return Failure(cell, "raised", message, traceback.format_exc())


class ImplError(Exception):
    """A cell's ``impl`` names no function."""


def load(impl: str) -> CellFunction:
    """The function that ``module:function`` names.

    Raises:
        ImplError: no such module, or nothing callable of that name in it.
    """
    module_name, _, name = impl.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ImplError(f"{impl}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ImplError(f"{impl}: module {module_name} has no function {name!r}")
    return cast(CellFunction, function)


def _input(cell: Cell, store: Store) -> Result:
    result = store.get(cell)
    if result is None:
        raise StoreError(
            f"the input {cell.label or cell.key} has gone from {store.root} during the run"
        )
    return replace(result, context=cell.context)
