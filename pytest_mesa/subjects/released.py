"""Released models as line-ups name them: what they are, by hash, before anything is loaded.

A handle's parameters say the format and the weights' hash (or the hub's commit), so a result
is found again wherever the weights lie. Where that is, on this machine, travels beside them
as the context of the cell that checks and prepares the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Cell
from pytest_mesa.subjects import bundled
from pytest_mesa.subjects.content import file_sha, joint_sha, model_files, stamp
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.gguf_header import read_header
from pytest_mesa.subjects.handles import Handle, Scheme
from pytest_mesa.subjects.hub import commit_of
from pytest_mesa.subjects.lc0_handles import altered
from pytest_mesa.subjects.references import Reference, parse

LOADER = "pytest_mesa.subjects.weights:language_model"


def _reference(spec: SubjectSpec) -> Reference:
    if spec.seeds > 1 or spec.options:
        raise SubjectError(f"{spec.ref}: a released model takes neither seeds nor options")
    if spec.untrained:
        raise SubjectError(f"{spec.ref}: only chess nets have an untrained twin here")
    return parse(str(spec.ref))


def _hf_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    reference = _reference(spec)
    settings = _settings(reference)
    if reference.path is None:
        commit = commit_of(reference.rest, reference.revision)
        what = {"repo": reference.rest, "commit": commit}
        return (_handle("hf", reference.short, what, settings, {}),)
    weights, others = model_files(reference.path, code=reference.remote_code)
    shas = {path.name: file_sha([path]) for path in weights}
    rest = {path.relative_to(reference.path).as_posix(): file_sha([path]) for path in others}
    context = {
        "folder": str(reference.path),
        "weights_sha": joint_sha(shas),
        "stamps": _stamps((*weights, *others)),
    }
    return (_handle("hf", reference.short, {"files": shas | rest}, settings, context),)


def _gguf_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    reference = _reference(spec)
    if reference.path is None:
        raise SubjectError(f"cannot load model {reference.text!r}: it names no file")
    return (_file_handle("gguf", reference, (reference.path,)),)


def _lc0_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    reference = parse(str(spec.ref))
    if reference.path is None:
        raise SubjectError(f"cannot load model {reference.text!r}: it names no file")
    return altered(_file_handle("lc0", reference, (reference.path,)), spec)


def _bundled_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    bundle = bundled.BUNDLES[parse(str(spec.ref)).rest]
    reference = parse(str(spec.ref)) if bundle.scheme == "lc0" else _reference(spec)
    paths = bundled.locate(reference.rest)
    if file_sha(paths) != bundle.sha:
        raise SubjectError(
            f"{reference.text}: the installed package holds other weights than this name stands "
            f"for: {bundle.install}, or name the file {paths[0]} itself"
        )
    handle = _file_handle(bundle.scheme, reference, paths)
    return altered(handle, spec) if bundle.scheme == "lc0" else (handle,)


def _file_handle(scheme: str, reference: Reference, paths: Sequence[Path]) -> Handle:
    if scheme == "gguf":
        read_header(paths, str(reference.path or reference.text))
    sha = file_sha(paths)
    context = {"parts": [str(p) for p in paths], "weights_sha": sha, "stamps": _stamps(paths)}
    return _handle(scheme, reference.short, {"file": sha}, _settings(reference), context)


def _handle(
    scheme: str,
    name: str,
    what: dict[str, Any],
    settings: dict[str, Any],
    context: dict[str, Any],
) -> Handle:
    cell = Cell(
        kind="weights",
        version=1,
        params={"scheme": scheme, **what, **({"code": True} if "code" in settings else {})},
        impl="pytest_mesa.subjects.weights:prepare",
        label=f"weights of {name}",
        context={"name": name, **context},
    )
    return Handle(name, {"scheme": scheme, **what, **settings}, (cell,))


def _settings(reference: Reference) -> dict[str, Any]:
    settings: dict[str, Any] = {"dtype": reference.dtype} if reference.dtype else {}
    return settings | ({"code": True} if reference.remote_code else {})


def _stamps(paths: Sequence[Path]) -> dict[str, Any]:
    return {str(path): stamp(path) for path in paths}


HF = Scheme("hf", _hf_handles, LOADER, "text")
GGUF = Scheme("gguf", _gguf_handles, LOADER, "text")
LC0 = Scheme("lc0", _lc0_handles, "pytest_mesa.subjects.weights:chess_net", "board")
BUNDLED = Scheme("bundled", _bundled_handles, LOADER, "text")
