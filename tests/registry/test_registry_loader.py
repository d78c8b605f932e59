"""Files and folders to predictions, a bad one never hiding the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import ValidationError

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.kinds import CausalState
from pytest_mesa.registry.loader import Collection, collect, load, load_text


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def renamed(spec: str, name: str) -> str:
    return spec.replace("knapsack-no-dp", name)


def found(collection: Collection) -> list[str]:
    return [loaded.id for loaded in collection.loaded]


def test_a_loaded_prediction(tmp_path: Path, spec: str) -> None:
    path = write(tmp_path, "a.yaml", f"# a comment\n\n{spec}")
    loaded = load(path, "a.yaml")
    assert (loaded.id, loaded.line, loaded.name, loaded.path) == (
        *("knapsack-no-dp", 3, "a.yaml", path),
    )
    assert isinstance(loaded.prediction.experiment, CausalState)
    assert loaded.prediction.experiment.states == (2, 3)
    assert loaded.prediction.subjects[0].options == {"width": 64}
    with pytest.raises(FrozenInstanceError):
        loaded.sha = ""  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        loaded.prediction.title = ""


def test_folders_are_walked_in_order(tmp_path: Path, spec: str) -> None:
    for name in ("b.yml", "a.yaml", "sub/c.yaml", ".hidden.yaml", ".git/d.yaml", "e.txt"):
        write(tmp_path, name, renamed(spec, name.replace("/", "-").replace(".", "-").strip("-")))
    assert found(collect([tmp_path])) == ["a-yaml", "b-yml", "sub-c-yaml"]


def test_folders_within_are_walked_in_order(tmp_path: Path, spec: str) -> None:
    names = [f"s{number}" for number in (3, 1, 4, 15, 9, 2, 6, 5, 35, 8)]
    for name in names:
        write(tmp_path, f"{name}/x.yaml", renamed(spec, name))
    assert found(collect([tmp_path])) == sorted(names)


def test_a_file_reached_twice_counts_once(tmp_path: Path, spec: str) -> None:
    path = write(tmp_path, "a.yaml", spec)
    (tmp_path / "link.yaml").symlink_to(path)
    collection = collect([tmp_path, path, tmp_path / "." / "a.yaml"])
    assert found(collection) == ["knapsack-no-dp"]
    assert not collection.errors


def test_a_folder_that_links_to_itself(tmp_path: Path, spec: str) -> None:
    write(tmp_path, "a.yaml", spec)
    (tmp_path / "again").symlink_to(tmp_path)
    assert found(collect([tmp_path])) == ["knapsack-no-dp"]


def test_nothing_there(tmp_path: Path) -> None:
    assert not collect([tmp_path])
    absent = collect([tmp_path / "absent"])
    assert absent.errors[0].errors[0].message == "cannot be read: no such file or directory"


def test_a_bad_spec_leaves_the_others_running(tmp_path: Path, spec: str) -> None:
    write(tmp_path, "a.yaml", "prediction: [\n")
    write(tmp_path, "b.yaml", spec)
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    collection = collect([tmp_path])
    assert found(collection) == ["knapsack-no-dp"]
    assert [Path(error.file).name for error in collection.errors] == ["a.yaml", "c.yaml"]


def test_one_id_twice_is_an_error_of_both(tmp_path: Path, spec: str) -> None:
    write(tmp_path, "a.yaml", spec)
    write(tmp_path, "b.yaml", f"# moved\n{spec}")
    write(tmp_path, "c.yaml", renamed(spec, "other"))
    collection = collect([tmp_path], root=tmp_path)
    assert found(collection) == ["other"]
    assert [error.render() for error in collection.errors] == [
        "a.yaml:1:1: the id 'knapsack-no-dp' is also that of b.yaml:2\n"
        "    prediction: knapsack-no-dp\n    ^\n  rename one of them",
        "b.yaml:2:1: the id 'knapsack-no-dp' is also that of a.yaml:1\n"
        "    prediction: knapsack-no-dp\n    ^\n  rename one of them",
    ]


def test_names_below_the_root_are_relative(tmp_path: Path, spec: str) -> None:
    path = write(tmp_path, "p/a.yaml", spec)
    assert collect([path], root=tmp_path).loaded[0].name == "p/a.yaml"
    assert collect([path], root=tmp_path / "other").loaded[0].name == str(path)
    assert collect([path]).loaded[0].name == str(path)


@pytest.mark.parametrize("text", ["foo", "- a", "null", "3"])
def test_a_document_that_is_no_mapping(text: str) -> None:
    with pytest.raises(SpecErrors, match="expected a mapping with the key 'prediction'"):
        load_text(text)


def test_collecting_imports_nothing_heavy(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    bench = benchmark_module("collect")
    row = bench.measure(150, runs=1)
    assert row.heavy == ()
    assert row.cpu < 1.5  # ten times the time that a tenth of the specs take


def test_loading_needs_no_distribution_metadata(tmp_path: Path, spec: str) -> None:
    write(tmp_path, "a.yaml", spec)
    code = (
        "import importlib.metadata as m, sys\n"
        "real = m.entry_points\n"
        "def entry_points(group):\n"
        "    if 'mesa' in group: raise RuntimeError('scanned')\n"
        "    return real(group=group)\n"
        "m.entry_points = entry_points\n"
        "from pytest_mesa.registry.loader import collect\n"
        "print(len(collect([sys.argv[1]]).loaded))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "1"
