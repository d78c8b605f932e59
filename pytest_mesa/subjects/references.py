"""Model references, as ``--mesa-model`` and a spec's ``ref`` take them: text in, parts out.

A reference is a hub id ``org/name[@revision]``, a local directory, a ``.gguf`` or lc0
``.pb.gz`` file, or ``scheme:rest``. Options follow a question mark, ``?dtype=bfloat16``.
Several of them, with semicolons between, make one ladder: ``ladder:REF;REF;…``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.subjects.bundled import BUNDLES
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.listed_references import called, listed, members

SCHEMES = (
    *("hf", "gguf", "lc0", "recipe", "compiled", "scripted", "bundled"),
    *("knapsack", "ladder", "player", "search", "sequence", "told"),
)
DTYPES = ("float32", "bfloat16", "float16")
GGUF, LC0 = ".gguf", ".pb.gz"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@\S+)?", re.ASCII)
_HUB_NAME = re.compile(r"[\w.-]+(@\S+)?", re.ASCII)
# Two characters at least, so that the drive of a Windows path is no scheme.
_SCHEME = re.compile(r"([A-Za-z][\w.-]+):(.*)", re.ASCII | re.DOTALL)
_OPTIONS = re.compile(r"(.+?)\?((?:dtype=|trust-remote-code)[^/\\?]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reference:
    """A model reference in its parts.

    ``rest`` is what follows the scheme, without revision and options: a hub id, a name, or a
    path as it was written. ``path`` is that path made absolute, where the weights are local.
    """

    text: str
    scheme: str
    rest: str
    revision: str = ""
    path: Path | None = None
    dtype: str = ""
    remote_code: bool = False

    @property
    def short(self) -> str:
        """A name for labels and ids: without scheme, folders, suffix and options."""
        return short_name(self.text)


def parse(text: str) -> Reference:
    """Read a reference. Relative paths count from the working directory.

    Raises:
        SubjectError: an unknown scheme, alias or option, a path that does not exist, or text
            that is none of these.
    """
    if several := members(text):
        remote_code = any(parse(each).remote_code for each in several)
        return Reference(text, "ladder", text.partition(":")[2], remote_code=remote_code)
    body, options = _split_options(text)
    dtype, remote_code = _options(text, options)
    scheme, rest = _split_scheme(body)
    if not rest:
        what = f"nothing follows '{scheme}:'" if scheme else "the reference is empty"
        raise SubjectError(f"cannot load model {text!r}: {what}")
    if not scheme:
        scheme, rest = _guessed(text, rest)
    if scheme == "hf":
        found = _hub_or_folder(text, rest)
    elif scheme in ("gguf", "lc0"):
        found = (rest, "", _file(text, rest))
    elif scheme == "bundled":
        found = (_alias(rest), "", None)
    else:
        found = (rest, "", None)
    name, revision, path = found
    return Reference(text, scheme, name, revision, path, dtype, remote_code)


def known_schemes() -> tuple[str, ...]:
    """The built-in schemes, and those of other packages."""
    others = (point.name for point in entry_points(group="pytest_mesa.subjects"))
    return tuple(dict.fromkeys((*SCHEMES, *others)))


def short_name(text: str) -> str:
    """The last part of a reference, for ids and labels; it looks at nothing but the text."""
    if members(text):
        return called(text)
    body, _ = _split_options(text)
    head, rest = _split_scheme(body)
    rest = rest.rstrip("/\\")
    if "/" in (hub := rest.partition("@")[0]) and _HUB_ID.fullmatch(rest):
        name = hub.rpartition("/")[2] + rest[len(hub) :].replace("/", "-")
    else:
        name = re.split(r"[/\\]", rest)[-1]
    for suffix in (GGUF, LC0):
        name = name.removesuffix(suffix)
    return name or head or text


def revision_of(text: str) -> str:
    """The revision that a hub id asks for, or all of a list; it looks at nothing but the text."""
    if several := members(text):
        revisions = {revision_of(each) for each in several}
        return revisions.pop() if len(revisions) == 1 else ""
    _, rest = _split_scheme(_split_options(text)[0])
    return rest.partition("@")[2] if _HUB_ID.fullmatch(rest) else ""


def with_options(text: str, *, dtype: str = "", remote_code: bool = False) -> str:
    """The reference with options of the command line added; its own win.

    A reference to anything but a language model stays as it is; a list is put in order.

    Raises:
        SubjectError: an unknown option in the reference.
    """
    if several := members(text):
        return listed(with_options(e, dtype=dtype, remote_code=remote_code) for e in several)
    body, given = _split_options(text)
    if _split_scheme(body)[0] not in ("", "hf", "gguf", "bundled"):
        return text
    own_dtype, own_code = _options(text, given)
    parts = [f"dtype={own_dtype or dtype}"] if own_dtype or dtype else []
    parts += ["trust-remote-code"] if own_code or remote_code else []
    return f"{body}?{'&'.join(parts)}" if parts else body


def _split_options(text: str) -> tuple[str, str]:
    match = _OPTIONS.fullmatch(text)
    return (match[1], match[2]) if match else (text, "")


def _options(text: str, options: str) -> tuple[str, bool]:
    dtype, remote_code = "", False
    for option in filter(None, options.split("&")):
        name, _, value = option.partition("=")
        if name == "dtype" and value in DTYPES:
            dtype = value
        elif option == "trust-remote-code":
            remote_code = True
        elif name == "dtype":
            raise SubjectError(f"{text!r}: dtype {value!r} is none of {', '.join(DTYPES)}")
        else:
            raise SubjectError(
                f"{text!r}: unknown option {option!r}; there are dtype=… and trust-remote-code"
            )
    return dtype, remote_code


def _split_scheme(body: str) -> tuple[str, str]:
    """The scheme and the rest; an empty scheme where the text has none, or is a path."""
    match = _SCHEME.fullmatch(body)
    if match is None:
        return "", body
    return match[1], match[2]


def _guessed(text: str, rest: str) -> tuple[str, str]:
    """The scheme of a reference that names none."""
    if rest.endswith(GGUF):
        return "gguf", rest
    if rest.endswith(LC0):
        return "lc0", rest
    path = _expanded(text, rest)
    if _looks_like_path(rest) or path.is_dir() or _HUB_ID.fullmatch(rest):
        return "hf", rest
    if path.is_file():
        raise SubjectError(
            f"cannot load model {text!r}: a model file ends in {GGUF} or {LC0}; for Hugging Face "
            "weights name the directory that config.json is in"
        )
    near = did_you_mean(rest, BUNDLES)
    hint = near.replace("'", "'bundled:", 1) if near else ""
    raise SubjectError(
        f"cannot load model {text!r}: it is no hub id (org/name), directory, {GGUF} or {LC0} "
        f"file, or scheme:rest with a scheme of {', '.join(known_schemes())}; "
        + (hint or "a hub id without an organisation is written hf:NAME")
    )


def _looks_like_path(rest: str) -> bool:
    return rest.startswith((".", "/", "~", "\\")) or "\\" in rest or rest[1:3] in (":/", ":\\")


def _expanded(text: str, rest: str) -> Path:
    try:
        return Path.cwd() / Path(rest).expanduser()
    except (RuntimeError, ValueError, OSError) as error:
        raise SubjectError(f"cannot load model {text!r}: {error}") from error


def _hub_or_folder(text: str, rest: str) -> tuple[str, str, Path | None]:
    path = _expanded(text, rest)
    if path.is_dir() and (_looks_like_path(rest) or (path / "config.json").exists()):
        return rest, "", path
    if path.is_file():
        raise SubjectError(f"cannot load model {text!r}: {path} is a file, not a directory")
    if _looks_like_path(rest):
        raise SubjectError(f"cannot load model {text!r}: there is no directory {path}")
    if not (_HUB_ID.fullmatch(rest) or _HUB_NAME.fullmatch(rest)):
        raise SubjectError(
            f"cannot load model {text!r}: {rest!r} is neither a directory nor a hub id, which "
            "reads org/name or org/name@revision"
        )
    name, _, revision = rest.partition("@")
    return name, revision, None


def _file(text: str, rest: str) -> Path:
    path = _expanded(text, rest)
    if path.is_dir():
        raise SubjectError(f"cannot load model {text!r}: {path} is a directory, not a file")
    if not path.is_file():
        near = did_you_mean(path.name, _neighbours(path))
        raise SubjectError(
            f"cannot load model {text!r}: there is no file {path}" + (f"; {near}" if near else "")
        )
    return path


def _neighbours(path: Path) -> Iterable[str]:
    try:
        return [other.name for other in path.parent.iterdir()]
    except OSError:
        return []


def _alias(rest: str) -> str:
    if rest not in BUNDLES:
        near = did_you_mean(rest, BUNDLES)
        raise SubjectError(
            f"no bundled model is called {rest!r}; " + (near or f"there are {', '.join(BUNDLES)}")
        )
    return rest
