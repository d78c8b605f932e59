"""Hub ids: to which commit a revision leads, and where its files lie on this machine.

What is in the local cache is used without asking the hub. Nothing is fetched while planning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_mesa.subjects.content import SETTINGS, WEIGHTS, joint_sha, refuse_pickled
from pytest_mesa.subjects.errors import SubjectError

TIMEOUT_S = 15.0
OFFLINE = "put the model into the local cache, or give a local directory"


def commit_of(repo: str, revision: str) -> str:
    """The commit that a revision (a branch, tag or commit; the main branch if empty) leads to.

    Raises:
        SubjectError: no such model or revision, no access, or no connection and nothing cached.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    name = named(repo, revision)
    try:
        cached = try_to_load_from_cache(repo, "config.json", revision=revision or None)
    except ValueError as error:  # what the hub allows in a name is for its client to say
        raise SubjectError(f"cannot load model {name}: {_first_line(error)}") from error
    if isinstance(cached, str):
        return Path(cached).parent.name
    try:
        info = HfApi().model_info(repo, revision=revision or None, timeout=TIMEOUT_S)
    except Exception as error:  # the client lets the errors of its transport through
        raise unreachable(name, error) from error
    refuse_unsafe(name, [str(file.rfilename) for file in info.siblings or ()])
    return str(info.sha)


def refuse_unsafe(name: str, files: list[str]) -> None:
    """Stop where a repository has no safetensors weights.

    Raises:
        SubjectError: and what it has instead.
    """
    if any(file.endswith(".safetensors") for file in files):
        return
    refuse_pickled(name, files)
    gguf = [file for file in files if file.endswith(".gguf")]
    hint = f"; download {gguf[0]} and give its path" if gguf else ""
    raise SubjectError(f"cannot load model {name}: it has no .safetensors weights{hint}")


def snapshot(repo: str, commit: str, *, code: bool) -> Path:
    """The folder with a commit's files, fetched where they are not in the local cache.

    Raises:
        SubjectError: they can't be fetched, or there are no safetensors weights among them.
    """
    from huggingface_hub import snapshot_download

    wanted: dict[str, Any] = {"revision": commit}
    wanted["allow_patterns"] = [WEIGHTS, *SETTINGS] + (["*.py"] if code else [])
    try:
        folder = Path(snapshot_download(repo, local_files_only=True, **wanted))
        if not any(folder.glob(WEIGHTS)):
            folder = Path(snapshot_download(repo, **wanted))
    except FileNotFoundError:
        folder = _fetched(repo, wanted)
    except Exception as error:
        raise unreachable(named(repo, commit), error) from error
    return folder


def weights_sha(folder: Path) -> str:
    """Hash of a snapshot's weights: its large files are blobs named by their SHA-256."""
    from pytest_mesa.subjects.content import file_sha

    shas = {}
    for path in sorted(folder.glob(WEIGHTS)):
        blob = path.resolve().name
        shas[path.name] = blob if len(blob) == 64 else file_sha([path])
    return joint_sha(shas)


def named(repo: str, revision: str) -> str:
    """A hub id as it is written."""
    return f"{repo}@{revision}" if revision else repo


def unreachable(name: str, error: Exception) -> SubjectError:
    """What a failure of the hub means to the user."""
    from huggingface_hub import errors

    reasons = (
        (errors.GatedRepoError, "access to it is restricted: ask for it on its page, and log in"),
        (errors.RepositoryNotFoundError, "the hub has no such model, or not for you"),
        (errors.RevisionNotFoundError, "the model has no such revision"),
        (
            errors.OfflineModeIsEnabled,
            f"it is not on this machine, and HF_HUB_OFFLINE is set: {OFFLINE}",
        ),
    )
    for kind, reason in reasons:
        if isinstance(error, kind):
            return SubjectError(f"cannot load model {name}: {reason}")
    return SubjectError(
        f"cannot load model {name}: it is not on this machine, and the hub can't be reached "
        f"({type(error).__name__}: {_first_line(error)}): {OFFLINE}"
    )


def _fetched(repo: str, wanted: dict[str, Any]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, **wanted))
    except Exception as error:
        raise unreachable(named(repo, wanted["revision"]), error) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
