"""Sites at squares: what is patched where, and a check that a broken stream can't pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lc0_nets
import lc0_writer
import pytest
import torch
from torch import Tensor, nn

from pytest_mesa.instruments.stream import SiteError
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.subjects.lc0.stream import Lc0Stream, at_squares

DECLARED = {"input": 1, "output": 2, "value": 2}


@pytest.fixture(params=["tower", "transformer"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Lc0Subject:
    if request.param == "tower":
        weights, form = lc0_nets.tower(11, channels=12), {"network": 4, "policy": 2}
    else:
        weights, form = lc0_nets.transformer(12, moves_left=False), {"network": 6, "policy": 3}
    content = lc0_writer.net_bytes(weights, DECLARED | form)
    return load_net(lc0_writer.write(tmp_path / "net.pb.gz", content))


def drawn(batch: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, 112, 8, 8, generator=generator) < 0.2).float()


def test_the_stream_is_that_of_the_blocks(subject: Lc0Subject) -> None:
    planes, seen = drawn(3), []
    hooks = [
        block.register_forward_hook(lambda _m, args, out: seen.append((args[0], out)))
        for block in subject.module.blocks
    ]
    with torch.no_grad():
        plain = subject.module(planes)
    for hook in hooks:
        hook.remove()
    stream = subject.stream.capture(planes)
    assert stream.shape == (len(seen) + 1, 3, 64, subject.info.width)
    for layer, (entered, left) in enumerate(seen):
        assert torch.equal(stream[layer], entered)
        assert torch.equal(stream[layer + 1], left)
    assert torch.equal(
        subject.stream.resume(stream[-1], subject.stream.layers).policy, plain.policy
    )


def test_patching_squares_changes_those_alone(subject: Lc0Subject) -> None:
    base, donor = subject.stream.capture(drawn(2)), subject.stream.capture(drawn(2, seed=1))
    squares = torch.zeros(2, 64, dtype=torch.bool)
    squares[0, 5] = squares[1, [9, 60]] = True
    patched = at_squares(donor[1], squares)(base[1])
    assert torch.equal((patched != base[1]).any(-1), squares & (base[1] != donor[1]).any(-1))
    assert torch.equal(patched[squares], donor[1][squares])
    edited = subject.stream.resume(base[1], 1, {1: at_squares(donor[1], squares)})
    assert torch.equal(edited.policy, subject.stream.resume(patched, 1).policy)


def test_edits_apply_from_their_layer_on(subject: Lc0Subject) -> None:
    stream, planes = subject.stream, drawn(2)
    base = stream.capture(planes)
    every = torch.ones(2, 64, dtype=torch.bool)
    late = stream.resume(base[0], 0, {stream.layers: at_squares(base[-1].flip(0), every)})
    with torch.no_grad():
        assert torch.allclose(late.policy, subject.module(planes).policy.flip(0), atol=1e-5)


def test_a_sweep_is_each_square_alone(subject: Lc0Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mesa.subjects.lc0.stream.ROWS", 30)  # so that chunks are uneven
    stream = subject.stream
    base, donor = stream.capture(drawn(3)), stream.capture(drawn(3, seed=1))

    def metric(policy: Tensor) -> Tensor:
        return policy[:, 100] - policy[:, 200]

    swept = stream.sweep(base, donor, 2, metric)
    assert swept.shape == (64, 3)
    for square in range(64):
        only = torch.zeros(3, 64, dtype=torch.bool)
        only[:, square] = True
        alone = stream.resume(base[2], 2, {2: at_squares(donor[2], only)})
        assert torch.allclose(swept[square], metric(alone.policy), atol=1e-5)
    assert (swept - metric(stream.resume(base[2], 2).policy)).abs().max() > 1e-3


def test_the_last_layers_policy_is_the_nets(subject: Lc0Subject) -> None:
    planes = drawn(4)
    policies = subject.stream.layer_policy(planes)
    assert policies.shape == (subject.stream.layers + 1, 4, 1858)
    with torch.no_grad():
        assert torch.equal(policies[-1], subject.module(planes).policy)
    assert (policies[0] - policies[-1]).abs().max() > 1e-2


def test_gradients_reach_the_stream(subject: Lc0Subject) -> None:
    entering = subject.stream.capture(drawn(1))[1].requires_grad_()
    subject.stream.resume(entering, 1).policy[0, 0].backward()
    assert entering.grad is not None
    assert entering.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda stream, base: stream.resume(base[0], 4), r"layer 4 is outside 0\.\.3"),
        (lambda stream, base: stream.sweep(base, base, -1, torch.sum), "layer -1 is outside"),
        (
            lambda stream, base: stream.resume(base[2], 2, {1: torch.neg}),
            r"edits at \[1\] lie outside the layers 2\.\.3",
        ),
    ],
)
def test_sites_that_are_not_there(
    subject: Lc0Subject, call: Callable[[Lc0Stream, Tensor], object], message: str
) -> None:
    with pytest.raises(SiteError, match=message):
        call(subject.stream, subject.stream.capture(drawn(2)))


class Remembering(nn.Module):
    """A block that lets its first input pass around the stream."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.first: Tensor | None = None

    def forward(self, stream: Tensor) -> Tensor:
        if self.first is None:
            self.first = stream
        out: Tensor = self.block(stream) + self.first
        return out


def test_a_block_that_reads_past_the_stream_fails_the_check(subject: Lc0Subject) -> None:
    subject.module.blocks[1] = Remembering(subject.module.blocks[1])
    with pytest.raises(SiteError, match="at layer 0, a patch of all squares does not give the"):
        Lc0Stream(subject.module).check(drawn(2))


def test_outputs_that_are_not_finite_fail_the_check(subject: Lc0Subject) -> None:
    next(subject.module.policy.parameters()).data.fill_(float("nan"))
    with pytest.raises(SiteError, match="not finite"):
        Lc0Stream(subject.module).check(drawn(2))
