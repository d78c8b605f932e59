"""The store: what went in comes out, and nothing else ever does."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_cells import cell

from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.store import ENTRY, MANIFEST, PayloadError, Store, StoreError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def stored(store: Store, tmp_path: Path, **params: object) -> Cell:
    """A cell with a payload and two files, one of them in a folder."""
    one = cell(**params)
    source = tmp_path / "weights"
    source.write_bytes(bytes(range(256)) * 8)
    store.put(one, {"loss": 0.5}, {"weights.bin": source, "deep/down.bin": source})
    return one


@given(payload=JSON)
@settings(max_examples=40, deadline=None)
def test_payloads_come_back_as_they_went_in(
    payload: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("cache"))
    fresh = store.put(cell(), payload)
    again = store.get(cell())
    assert again is not None
    assert again == fresh
    assert json.dumps(again.payload) == json.dumps(payload, sort_keys=True)


def test_files_come_back_and_the_entry_says_what_it_is(store: Store, tmp_path: Path) -> None:
    one = stored(store, tmp_path, name="net")
    result = store.get(one)
    assert result is not None
    assert result.folder == store.root / one.key[:2] / one.key
    assert result.file("deep/down.bin").read_bytes() == bytes(range(256)) * 8
    entry = json.loads((result.folder / ENTRY).read_bytes())
    assert entry["kind"] == "test-add"
    assert entry["label"] == "net"
    assert set(entry["files"]) == {"weights.bin", "deep/down.bin"}
    assert not list((store.root / "tmp").iterdir())


def test_an_empty_store_is_not_written_by_reading(store: Store) -> None:
    assert store.get(cell()) is None
    assert not store.root.exists()


@pytest.mark.parametrize("payload", [float("nan"), {"a": [float("inf")]}, {"a": {1, 2}}])
def test_what_is_not_finite_json_is_refused(store: Store, payload: object) -> None:
    with pytest.raises(PayloadError, match="not finite JSON"):
        store.put(cell(), payload)
    assert store.get(cell()) is None


@pytest.mark.parametrize("name", [ENTRY, "weights.bin", "deep/down.bin"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_entry_counts_as_none_and_is_replaced(
    store: Store, tmp_path: Path, name: str, damage: str
) -> None:
    one = stored(store, tmp_path)
    path = store.folder(one) / name
    wreck(path, damage)
    assert store.get(one) is None
    stored(store, tmp_path)
    assert store.get(one) is not None


def wreck(path: Path, damage: str) -> None:
    """Do one of three harms to a file."""
    data = bytearray(path.read_bytes())
    if damage == "delete":
        path.unlink()
        return
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_every_flipped_bit_of_an_entry_is_noticed(store: Store) -> None:
    """No flipped bit changes what is read: the entry is refused, or its meaning is the same."""
    one = cell()
    store.put(one, {"loss": 0.25, "who": "a net"})
    path = store.folder(one) / ENTRY
    sound = path.read_bytes()
    for position in range(len(sound)):
        data = bytearray(sound)
        data[position] ^= 1 << (position % 8)
        path.write_bytes(data)
        found = store.get(one)
        assert found is None or found.payload == {"loss": 0.25, "who": "a net"}, position


def test_the_first_of_two_results_wins(store: Store) -> None:
    assert store.put(cell(), 1).payload == 1
    assert store.put(cell(), 2).payload == 1


def test_a_frozen_layer_is_asked_first_and_never_written(store: Store, tmp_path: Path) -> None:
    one = stored(store, tmp_path)
    layer = tmp_path / "fixtures"
    store.freeze(one, layer / "net", {"made_by": "a recipe"})
    other = Store(tmp_path / "other", [layer])
    result = other.get(one)
    assert result is not None
    assert result.folder == layer / "net"
    assert result.payload == {"loss": 0.5}
    assert json.loads((layer / "net" / MANIFEST).read_bytes())["made_by"] == "a recipe"
    assert other.get(cell(n=2)) is None
    assert not other.root.exists()


@pytest.mark.parametrize("name", ["weights.bin", "deep/down.bin"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_frozen_file_is_named(
    store: Store, tmp_path: Path, name: str, damage: str
) -> None:
    one = stored(store, tmp_path)
    layer = tmp_path / "fixtures"
    store.freeze(one, layer / "net", {})
    wreck(layer / "net" / name, damage)
    with pytest.raises(StoreError, match=name.rpartition("/")[2]):
        Store(tmp_path / "other", [layer]).get(one)


def test_a_frozen_payload_can_not_be_edited(store: Store, tmp_path: Path) -> None:
    one = stored(store, tmp_path)
    layer = tmp_path / "fixtures"
    manifest = store.freeze(one, layer / "net", {})
    manifest.write_text(manifest.read_text().replace("0.5", "0.4"))
    with pytest.raises(StoreError, match="differs from what was stored"):
        Store(tmp_path / "other", [layer]).get(one)


def test_a_manifest_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match=r"net/manifest\.json is not JSON"):
        Store(tmp_path / "cache", [tmp_path]).get(cell())


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname"])
def test_a_manifest_can_not_reach_outside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "net").mkdir()
    body = {"key": cell().key, "payload": 1, "files": {name: "0" * 64}}
    (tmp_path / "net" / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(StoreError, match="outside its folder"):
        Store(tmp_path / "cache", [tmp_path]).get(cell())


def test_a_store_travels_to_other_processes(store: Store, tmp_path: Path) -> None:
    one = stored(store, tmp_path)
    assert pickle.loads(pickle.dumps(store)).get(one) == store.get(one)  # noqa: S301


def race(root: Path, number: int, results: multiprocessing.Queue[object]) -> None:
    """Put a result that tells who made it."""
    results.put(Store(root).put(cell(), number).payload)


def test_racing_processes_agree_on_one_result(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[object] = context.Queue()
    racers = [context.Process(target=race, args=(tmp_path, n, results)) for n in range(6)]
    for racer in racers:
        racer.start()
    seen = {results.get(timeout=20) for _ in racers}
    for racer in racers:
        racer.join()
    assert len(seen) == 1


WRITER = """
import sys
from pathlib import Path
from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.store import Store

store = Store(Path(sys.argv[1]))
n = int(sys.argv[2])
while True:
    one = Cell("test-add", 1, {"n": n}, "store_cells:add")
    with store.claim(one) as claim:
        for name in "abc":
            (claim.folder / name).write_bytes(bytes([n % 256]) * 50_000)
        claim.commit({"n": n})
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
    n += 1
"""


def test_a_killed_writer_leaves_whole_entries_or_none(tmp_path: Path) -> None:
    rng = random.Random(0)
    store = Store(tmp_path)
    acknowledged: list[int] = []
    for start in range(0, 12_000, 1000):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(start)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            acknowledged.append(int(writer.stdout.readline()))
            time.sleep(rng.random() * 0.05)
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged += [int(line) for line in writer.stdout if line.endswith(b"\n")]
    for n in acknowledged:
        result = store.get(cell(n=n))
        assert result is not None
        assert result.payload == {"n": n}
        assert result.file("c").read_bytes() == bytes([n % 256]) * 50_000
    whole = {path.name for path in tmp_path.glob("??/*")}
    assert len(whole) - len(acknowledged) <= 12
    store.sweep()
    assert not list((tmp_path / "tmp").iterdir())


def test_sweeping_spares_work_in_progress(store: Store) -> None:
    with store.claim(cell()) as claim:
        (store.root / "tmp" / f"{cell(n=2).key}-left").mkdir()
        assert Store(store.root).sweep() == 1
        assert claim.folder.exists()


def test_a_full_disk_says_so_and_stores_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == ENTRY:
            raise OSError(28, "No space left on device", str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="no space left"):
        store.put(cell(), 1)
    monkeypatch.undo()
    assert store.get(cell()) is None
    assert not list((store.root / "tmp").iterdir())


def test_an_unwritable_root_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store(tmp_path / "file" / "cache").put(cell(), 1)
