"""Files that are no net, or no net that can be run: each is refused with what is wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chess
import lc0_nets
import numpy as np
import pytest
import torch
from lc0_reference import maia
from lc0_writer import encode, layer, net_bytes, write

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.formats import Activation, InputFormat, Policy
from pytest_mesa.subjects.lc0.load import load_net
from pytest_mesa.subjects.lc0.read import decompressed

TOWER = {"input": 1, "output": 2, "network": 4, "policy": 2, "value": 2}
BODY = {"input": 1, "output": 2, "network": 6, "policy": 3, "value": 2}


def tower(**shape: Any) -> dict[str, Any]:
    return lc0_nets.tower(3, **({"channels": 4, "blocks": 2} | shape))


def body(**shape: Any) -> dict[str, Any]:
    return lc0_nets.transformer(3, **({"width": 8, "blocks": 2, "moves_left": False} | shape))


def refused(path: Path) -> str:
    with pytest.raises(SubjectError) as caught:
        load_net(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_maia_tells_what_it_is() -> None:
    subject = load_net(maia())
    assert subject.label == "maia-1900"
    assert (subject.info.blocks, subject.info.width, subject.info.heads) == (6, 64, 0)
    assert subject.info.training_steps == 400_000
    assert subject.info.format.policy is Policy.CONVOLUTION
    assert subject.info.format.input is InputFormat.CLASSICAL_112_PLANE
    assert not any(each.requires_grad for each in subject.module.parameters())
    assert not subject.module.training
    assert subject.weights_sha == load_net(maia(), label="again").weights_sha


def test_maia_plays_chess() -> None:
    subject = load_net(maia())
    mate, won, over = (
        chess.Board("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"),
        chess.Board("4k3/8/8/8/8/8/8/QQ2K3 w - - 0 1"),
        chess.Board("R5k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1"),
    )
    best = subject.best_moves([mate, won, over])
    assert best[0] == chess.Move.from_uci("a1a8")
    assert best[2] is None
    shares = subject.policy([mate, over])
    assert sum(shares[0].values()) == pytest.approx(1)
    assert shares[1] == {}
    lost = won.mirror()
    lost.turn = True
    (good, bad) = subject.evaluate([won, lost])
    assert good.value > 0.5 > -0.5 > bad.value
    assert good.wdl is not None
    assert sum(good.wdl) == pytest.approx(1)
    assert good.moves_left is None


def test_many_boards_are_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, boards = (
        load_net(maia()),
        [chess.Board(), chess.Board("8/8/8/8/8/8/k1K5/7R w - - 0 1")] * 4,
    )
    whole = subject.policy(boards)
    monkeypatch.setattr("pytest_mesa.subjects.lc0.load.CHUNK", 3)
    for one, other in zip(subject.policy(boards), whole, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert len(subject.evaluate(boards)) == 8
    assert subject.policy([]) == []


@pytest.mark.parametrize("encoding", ["float32", "float16", "bfloat16"])
def test_other_encodings_hold_the_same_numbers(tmp_path: Path, encoding: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(4, 112, 9)).astype(np.float32)
    kept, code = {
        "float32": (numbers.astype("<f4").tobytes(), 4),
        "float16": (numbers.astype("<f2").tobytes(), 2),
        "bfloat16": (torch.tensor(numbers).bfloat16().view(torch.int16).numpy().tobytes(), 3),
    }[encoding]
    weights = tower(norm="none")
    weights["input"]["weights"] = {"params": kept, "encoding": code}
    net = load_net(write(tmp_path / "net.pb.gz", net_bytes(weights, TOWER))).module
    got = net.entry.convolution.weight.flatten().numpy()
    width = {"float32": 0, "float16": 2**-11, "bfloat16": 2**-8}[encoding]
    assert np.allclose(got, numbers.ravel(), rtol=width, atol=1e-7)


def test_declared_activations_are_used(tmp_path: Path) -> None:
    form = BODY | {"default_activation": 1, "ffn_activation": 6, "smolgen_activation": 5}
    found = load_net(write(tmp_path / "net.pb.gz", net_bytes(body(), form))).info.format
    assert found.activation is Activation.MISH
    assert found.ffn_activation is Activation.SELU
    assert found.smolgen_activation is Activation.SIGMOID


def test_no_file(tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path / "none.pb.gz")
    assert "cannot read" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an lc0 weight file: its magic number is 0x0"),
        (b"just some text", "no intact gzip file"),
        (gzip.compress(b"PK\x03\x04 just some text"), "not an lc0 weight file"),
        (gzip.compress(net_bytes({}, TOWER))[:-9], "cut short"),
        (gzip.compress(net_bytes({}, TOWER))[:-8] + b"wrong sum", "no intact gzip file"),
        (gzip.compress(net_bytes({}, TOWER)) + b"more", "no intact gzip file"),
    ],
    ids=["empty", "text", "another-format", "cut-short", "wrong-sum", "trailing-bytes"],
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.pb.gz"
    path.write_bytes(content)
    assert message in refused(path)


def test_maia_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = maia().read_bytes()
    inside = gzip.decompress(whole)
    for share in (0.1, 0.5, 0.999):
        cut = tmp_path / f"{share}.pb.gz"
        cut.write_bytes(whole[: int(share * len(whole))])
        assert "cut short" in refused(cut)
        assert "bytes where" in refused(write(cut, inside[: int(share * len(inside))]))


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pb.gz"
    path.write_bytes(gzip.compress(bytes(64 << 20)))
    assert "decompresses to more than 16,777,216 bytes" in refused(path)
    with pytest.raises(SubjectError, match="more than 1,000 bytes"):
        decompressed(maia(), most=1000)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"magic": 0x1C1}, "its magic number is 0x1c1, not 0x1c0"),
        ({"min_version": {"major": 0, "minor": 99}}, "the net is for lc0 0.99.0 or newer"),
        ({"onnx_model": b"x"}, "holds an ONNX model"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    assert message in refused(write(tmp_path / "net.pb.gz", net_bytes(tower(), TOWER, **other)))


def test_a_file_for_any_version_is_loaded(tmp_path: Path) -> None:
    version = {"major": 97, "minor": 98, "patch": 99}
    load_net(write(tmp_path / "net.pb.gz", net_bytes(tower(), TOWER, min_version=version)))


@pytest.mark.parametrize(
    ("weights", "form", "message"),
    [
        (tower, TOWER | {"network": 5}, "holds an ONNX model"),
        (tower, TOWER | {"network": 9}, "format.network_format.network is 9, which this loader"),
        (tower, TOWER | {"input": 6}, "network_format.input is 6"),
        (tower, TOWER | {"policy": 0}, "it knows 1 CLASSICAL, 2 CONVOLUTION, 3 ATTENTION"),
        (tower, TOWER | {"value": 3}, "network_format.value is 3"),
        (tower, TOWER | {"default_activation": 2}, "default_activation is 2"),
        (body, BODY | {"ffn_activation": 9}, "ffn_activation is 9"),
        (body, BODY | {"policy": 2}, "a transformer body with a CONVOLUTION policy"),
        (body, BODY | {"network": 7}, "without input embedding"),
        (body, BODY | {"input_embedding": 2}, "weights.ip_emb_preproc_b is missing"),
        (tower, BODY, "a residual tower followed by a transformer"),
        (tower, TOWER | {"policy": 1}, "weights.policy.weights has"),
        (tower, TOWER | {"moves_left": 1}, "weights.moves_left is missing"),
    ],
)
def test_formats_that_are_refused(
    tmp_path: Path, weights: Callable[[], dict[str, Any]], form: dict[str, int], message: str
) -> None:
    assert message in refused(write(tmp_path / "net.pb.gz", net_bytes(weights(), form)))


def changed(weights: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The weights with one entry replaced, or left out where the value is None."""
    *path, last = place.split(".")
    here: Any = weights
    for name in path:
        here = here[int(name)] if name.isdigit() else here[name]
    if value is None:
        del here[last]
    else:
        here[last] = value
    return weights


NAN = layer(np.zeros(4)) | {"max_val": float("nan")}


@pytest.mark.parametrize(
    ("weights", "place", "value", "message"),
    [
        (tower, "input", None, "weights.input is missing"),
        (tower, "residual", None, "the net has no blocks"),
        (tower, "residual.1.conv2", None, "weights.residual[1].conv2.weights is missing"),
        (tower, "residual.0.conv1.weights", np.ones(7), "has 7 numbers, expected 4 × 4 × 3 × 3"),
        (tower, "residual.0.se.w2", np.ones(4), "weights.residual[0].se.w2 has 4 numbers"),
        (tower, "residual.0.se.b1", None, "weights.residual[0].se.b1 is missing"),
        (tower, "input.bn_stddivs", -np.ones(4), "has a negative variance"),
        (tower, "input.bn_means", NAN, "has the bounds 0.0 and nan"),
        (tower, "input.bn_means", {"params": b"abc"}, "bn_means ends inside a number"),
        (tower, "input.bn_means", {"params": b"abcd", "encoding": 7}, "has the encoding 7"),
        (
            tower,
            "input.bn_means",
            {"params": np.full(4, np.inf, "<f4").tobytes(), "encoding": 4},
            "not finite",
        ),
        (tower, "policy", {"weights": np.ones(36), "biases": np.ones(1)}, "1 planes, expected 73"),
        (tower, "ip2_val_b", np.ones(1), "weights.ip2_val_b has 1 numbers, expected 3"),
        (body, "headcount", 5, "24 channels do not part into 5 heads"),
        (body, "headcount", None, "24 channels do not part into 0 heads"),
        (body, "headcount", 1 << 60, "do not part into"),
        (body, "smolgen_w", None, "weights.smolgen_w is missing"),
        (body, "smolgen_w", np.ones(9), "weights.smolgen_w has 9 numbers"),
        (body, "encoder.1.mha.rpe_q", np.ones(9), "relative position encodings"),
        (body, "encoder.0.ffn", None, "weights.encoder[0].ffn.dense1_b is missing"),
        (body, "ip_pol_w", None, "weights.ip_pol_w is missing"),
        (body, "ip_emb_b", None, "weights.ip_emb_b is missing"),
    ],
)
def test_weights_that_do_not_fit(
    tmp_path: Path,
    weights: Callable[[], dict[str, Any]],
    place: str,
    value: Any,
    message: str,
) -> None:
    form = TOWER if weights is tower else BODY
    content = net_bytes(changed(weights(), place, value), form)
    assert message in refused(write(tmp_path / "net.pb.gz", content))


def test_an_encoding_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    net = {"magic": 0x1C0, "format": {"network_format": TOWER}, "weights": tower()}
    message = refused(write(tmp_path / "net.pb.gz", encode("Net", net)))
    assert "weights.input.bn_means has the encoding 0" in message


def test_heads_by_name(tmp_path: Path) -> None:
    one = write(tmp_path / "one.pb.gz", net_bytes(body(), BODY))
    many = net_bytes(body(multihead=True), BODY | {"network": 7, "input_embedding": 1})
    two = write(tmp_path / "two.pb.gz", many)
    load_net(two, policy_head="optimistic", value_head="q")
    with pytest.raises(SubjectError, match="one policy head, and no 'soft'"):
        load_net(one, policy_head="soft")
    with pytest.raises(SubjectError, match="one value head, and no 'q'"):
        load_net(one, value_head="q")
    with pytest.raises(SubjectError, match=r"no .*policy_heads 'soft'; there are vanilla, optimi"):
        load_net(two, policy_head="soft")
    with pytest.raises(SubjectError, match=r"no .*value_heads 'best'; there are winner, q"):
        load_net(two, value_head="best")


def test_outputs_that_overflow_are_refused(tmp_path: Path) -> None:
    weights = tower(norm="none")
    for block in weights["residual"]:
        block["conv2"]["weights"] = np.full(4 * 4 * 9, 3e38, np.float32)
        block["conv1"]["weights"] = np.full(4 * 4 * 9, 3e38, np.float32)
        block.pop("se")
    path = write(tmp_path / "net.pb.gz", net_bytes(weights, TOWER | {"network": 3}))
    with pytest.raises(SubjectError, match="outputs are not finite"):
        load_net(path).policy([chess.Board()])
