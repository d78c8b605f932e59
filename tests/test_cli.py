"""The ``mesa`` command, from arguments to output and exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from mesa_projects import write_spec

from pytest_mesa.cli import main
from pytest_mesa.ledger.append import append
from pytest_mesa.registry.loader import load
from pytest_mesa.runs.store import Store
from pytest_mesa.session import Settings, run_prediction
from pytest_mesa.subjects.errors import SubjectError

Capture = pytest.CaptureFixture[str]


def test_new_writes_a_spec_that_check_accepts(fake_kind: Path, capsys: Capture) -> None:
    assert main(["new", "my-claim"]) == 0
    assert load(fake_kind / "predictions" / "my-claim.yaml").id == "my-claim"
    assert "pytest --mesa-predictions predictions/my-claim.yaml" in capsys.readouterr().out
    assert main(["check"]) == 0
    assert "1 sound, 0 with errors" in capsys.readouterr().out
    assert main(["new", "my-claim"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["new", "My Claim"]) == 2
    assert "'My Claim' is no id" in capsys.readouterr().err


def test_check_lists_every_error_and_the_lock(fake_kind: Path, capsys: Capture) -> None:
    write_spec(fake_kind / "predictions", "good")
    bad = fake_kind / "predictions" / "bad.yaml"
    bad.write_text("prediction: bad\ntitel: x\n")
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "good  not locked: verdicts will be exploratory  (predictions/good.yaml)" in out
    assert "predictions/bad.yaml:2:1: " in out
    assert "did you mean 'title'?" in out
    assert "1 sound, 1 with errors" in out
    assert main(["lock"]) == 1
    assert not (fake_kind / "mesa.lock").exists()
    assert main(["check", "nowhere"]) == 2
    assert "nowhere: there is no such file" in capsys.readouterr().err


def test_lock_says_what_changed_and_checks_without_writing(
    fake_kind: Path, capsys: Capture
) -> None:
    folder = fake_kind / "predictions"
    write_spec(folder, "a")
    write_spec(folder, "b")
    assert main(["lock", "--check"]) == 11
    assert not (fake_kind / "mesa.lock").exists()
    assert main(["lock"]) == 0
    assert "new      a" in capsys.readouterr().out
    assert main(["lock", "--check"]) == 0
    written = (fake_kind / "mesa.lock").read_bytes()
    write_spec(folder, "a", "score: 0.1")
    (folder / "b.yaml").unlink()
    capsys.readouterr()
    assert main(["lock", "--check"]) == 11
    out = capsys.readouterr().out
    assert "changed  a" in out
    assert "gone     b" in out
    assert (fake_kind / "mesa.lock").read_bytes() == written
    # With paths, the entries of other specs stay.
    assert main(["lock", "predictions/a.yaml"]) == 0
    assert set(json.loads((fake_kind / "mesa.lock").read_text())["predictions"]) == {"a", "b"}
    (fake_kind / "mesa.lock").write_text("{")
    assert main(["lock"]) == 1
    assert "mesa.lock:1:2: the lock is not JSON" in capsys.readouterr().err


def test_show_prints_a_card_by_id_or_file(fake_kind: Path, capsys: Capture) -> None:
    path = write_spec(fake_kind / "predictions", "my-claim")
    assert main(["show", "my-claim"]) == 0
    by_id = capsys.readouterr().out
    assert by_id.startswith("my-claim\n")
    assert main(["show", str(path)]) == 0
    assert "The claim of my-claim" in capsys.readouterr().out
    assert main(["show", "my-clam"]) == 1
    assert "did you mean 'my-claim'?" in capsys.readouterr().err
    assert main(["show", "nowhere.yaml"]) == 1


def test_schema_is_the_shipped_one_and_may_know_installed_kinds(
    fake_kind: Path, capsys: Capture
) -> None:
    from pytest_mesa.registry.schema import shipped_schema

    assert main(["schema"]) == 0
    assert capsys.readouterr().out == shipped_schema()
    assert main(["schema", "--installed", "--output", "all.json"]) == 0
    assert '"fake"' in (fake_kind / "all.json").read_text()


def test_verify_checks_the_chain_and_the_rendering(fake_kind: Path, capsys: Capture) -> None:
    assert main(["verify"]) == 1
    assert "there is no such ledger" in capsys.readouterr().err
    ledger = record_one(fake_kind)
    assert main(["verify"]) == 12
    assert "'mesa results' renders it" in capsys.readouterr().out
    assert main(["results"]) == 0
    assert main(["verify"]) == 0
    assert "1 records, the chain holds" in capsys.readouterr().out
    with (fake_kind / "RESULTS.md").open("a") as page:
        page.write("Better than that.\n")
    assert main(["verify"]) == 12
    ledger.write_bytes(ledger.read_bytes().replace(b'"verdict":"pass"', b'"verdict":"fail"'))
    capsys.readouterr()
    assert main(["verify"]) == 12
    assert "ledger.jsonl:1: " in capsys.readouterr().out


def record_one(root: Path) -> Path:
    loaded = load(write_spec(root / "predictions", "claim"))
    run = run_prediction(loaded, Settings(root=root, cache_dir=root / "cache", workers=0))
    assert run.record is not None
    append(root / "ledger.jsonl", run.record)
    return root / "ledger.jsonl"


def test_an_unknown_command_gets_a_hint(capsys: Capture) -> None:
    assert main(["chekc"]) == 2
    assert capsys.readouterr().err == "mesa: there is no command 'chekc'; did you mean 'check'?\n"
    assert main(["zzz"]) == 2
    assert "there are new, check, lock" in capsys.readouterr().err


def test_help_lists_the_commands_and_what_each_takes(capsys: Capture) -> None:
    assert main([]) == 0
    overview = capsys.readouterr().out
    for command in ("new", "check", "lock", "verify", "show", "schema", "train", "reproduce"):
        assert f"\n    {command} " in overview
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert f"usage: mesa {command}" in capsys.readouterr().out


class FakeCatalog(ModuleType):
    """The lists and trainings of subjects, without nets."""

    def __init__(self) -> None:
        super().__init__("pytest_mesa.subjects.catalog")
        self.calls: list[tuple[object, ...]] = []

    def listing(self) -> list[Row]:
        return [Row("recipe", "knapsack-decoder", 5), Row("compiled", "prefix-dp", None)]

    def train(
        self,
        recipe: str,
        seed: int,
        store: Store,
        freeze_to: Path | None = None,
        on_line: Callable[[str], None] = str,
    ) -> None:
        if recipe != "knapsack-decoder":
            raise SubjectError(f"no recipe is called {recipe!r}")
        self.calls.append((recipe, seed, store.root, freeze_to))
        on_line("step 1  loss 3.2")

    def reproduce(
        self, name: str | None, full: bool = False, on_line: Callable[[str], None] = str
    ) -> bool:
        on_line(f"{name}: losses differ at step 7")
        return full


@dataclass
class Row:
    """One subject."""

    scheme: str
    name: str
    seeds: int | None


@pytest.fixture
def catalog(fake_kind: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCatalog:
    made = FakeCatalog()
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr("pytest_mesa.subjects.catalog", made, raising=False)
    return made


def test_nets_are_listed_trained_and_reproduced(catalog: FakeCatalog, capsys: Capture) -> None:
    assert main(["subjects"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["scheme", "name", "seeds"]
    assert lines[1].split() == ["recipe", "knapsack-decoder", "5"]
    assert lines[2].split() == ["compiled", "prefix-dp"]

    assert main(["train", "knapsack-decoder", "--seed", "3", "--freeze"]) == 0
    assert capsys.readouterr().out == "step 1  loss 3.2\n"
    assert catalog.calls == [("knapsack-decoder", 3, Path(".mesa-cache"), Path("fixtures"))]
    assert main(["train", "nobody"]) == 1
    assert capsys.readouterr().err == "mesa train: no recipe is called 'nobody'\n"
    assert main(["train", "knapsack-decoder", "--seed=-1"]) == 2

    assert main(["reproduce", "net-0"]) == 1
    assert capsys.readouterr().out == "net-0: losses differ at step 7\n"
    assert main(["reproduce", "net-0", "--full"]) == 0


def test_checking_specs_imports_neither_torch_nor_numpy(fake_kind: Path) -> None:
    write_spec(fake_kind / "predictions", "claim")
    code = (
        "import sys; from pytest_mesa.cli import main; status = main(['check']); "
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules]); "
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=fake_kind,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parent / "fakelab")},
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


def test_a_reader_that_goes_away_is_no_error(fake_kind: Path) -> None:
    done = subprocess.run(
        [f"{sys.executable} -m pytest_mesa.cli schema | head -c 1"],
        shell=True,
        cwd=fake_kind,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")
