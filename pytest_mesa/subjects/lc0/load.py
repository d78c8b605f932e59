"""A weight file to a subject: the net, and what it thinks of positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.subjects.base import weights_sha
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0 import messages, read
from pytest_mesa.subjects.lc0.build import POLICY_HEAD, VALUE_HEAD, Builder
from pytest_mesa.subjects.lc0.formats import InputFormat, NetFormat, check_header, read_format
from pytest_mesa.subjects.lc0.moves import legal_indices, square_index
from pytest_mesa.subjects.lc0.net import Lc0Net, Lc0Output
from pytest_mesa.subjects.lc0.planes import PLANES, encode, symmetry_of
from pytest_mesa.subjects.lc0.stream import Lc0Stream
from pytest_mesa.subjects.provenance import Provenance

if TYPE_CHECKING:
    import chess
    from jaxtyping import Float

CHUNK = 256  # positions at once: some 100 MB in the largest nets


@dataclass(frozen=True, slots=True)
class Lc0Info:
    """What a weight file says of its net. ``heads``: of attention, 0 in a residual tower."""

    blocks: int
    width: int
    heads: int
    parameters: int
    format: NetFormat
    training_steps: int
    license: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A position's worth to the side to move; see `Lc0Output`."""

    value: float
    wdl: tuple[float, float, float] | None
    moves_left: float | None


@dataclass(eq=False)
class Lc0Subject:
    """A chess net, in evaluation mode and without gradients of its weights."""

    label: str
    module: Lc0Net
    info: Lc0Info
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        self.module.eval()
        self.module.requires_grad_(False)

    @cached_property
    def weights_sha(self) -> str:
        """Hash of the weights as loaded."""
        return weights_sha(self.module)

    @property
    def input_format(self) -> InputFormat:
        """How this net sees positions."""
        return self.info.format.input

    @cached_property
    def stream(self) -> Lc0Stream:
        """The net's residual stream, checked on two inputs.

        Raises:
            SiteError: reading or writing it does not mean what it should.
        """
        stream = Lc0Stream(self.module)
        drawn = torch.rand(2, PLANES, 8, 8, generator=torch.Generator().manual_seed(0))
        stream.check((drawn < 0.25).float())
        return stream

    def planes(self, boards: Sequence[chess.Board]) -> Float[Tensor, "batch 112 8 8"]:
        """Boards, with the moves that led to them, as this net sees them.

        Raises:
            SubjectError: no board of standard chess, or no python-chess.
        """
        return encode(boards, self.input_format)

    def legal(self, board: chess.Board) -> dict[chess.Move, int]:
        """Legal moves with their indices in this net's policy."""
        return legal_indices(board, symmetry_of(board, self.input_format))

    def square(self, board: chess.Board, square: int) -> int:
        """Where this net has a square of the board: the site to read or patch."""
        return square_index(square, board.turn, symmetry_of(board, self.input_format))

    def outputs(self, boards: Sequence[chess.Board]) -> Iterator[Lc0Output]:
        """What the net says, `CHUNK` boards at a time.

        Raises:
            SubjectError: an output that is not finite.
        """
        for start in range(0, len(boards), CHUNK):
            with torch.no_grad():
                out = self.module(self.planes(boards[start : start + CHUNK]))
            if not bool(out.policy.isfinite().all() and out.value.isfinite().all()):
                raise SubjectError(f"{self.label}: the net's outputs are not finite")
            yield out

    def policy(self, boards: Sequence[chess.Board]) -> list[dict[chess.Move, float]]:
        """The probability of each legal move; none where the game is over."""
        found = []
        for out, part in zip(self.outputs(boards), _chunks(boards), strict=True):
            for board, logits in zip(part, out.policy, strict=True):
                legal = self.legal(board)
                shares = logits[list(legal.values())].softmax(0).tolist()
                found.append(dict(zip(legal, shares, strict=True)))
        return found

    def best_moves(self, boards: Sequence[chess.Board]) -> list[chess.Move | None]:
        """The most likely move of each board; None where the game is over."""
        return [max(each, key=each.__getitem__, default=None) for each in self.policy(boards)]

    def evaluate(self, boards: Sequence[chess.Board]) -> list[Evaluation]:
        """What the net expects of each board."""
        found = []
        for out in self.outputs(boards):
            for row, value in enumerate(out.value.tolist()):
                wdl = None if out.wdl is None else out.wdl[row].tolist()
                left = None if out.moves_left is None else float(out.moves_left[row])
                found.append(Evaluation(value, None if wdl is None else (*wdl,), left))
        return found


def _chunks(boards: Sequence[chess.Board]) -> Iterator[Sequence[chess.Board]]:
    return (boards[start : start + CHUNK] for start in range(0, len(boards), CHUNK))


def load_net(
    path: Path | str,
    label: str = "",
    policy_head: str = POLICY_HEAD,
    value_head: str = VALUE_HEAD,
) -> Lc0Subject:
    """Load a ``.pb.gz`` file.

    Raises:
        SubjectError: no such file, no intact lc0 weights, a format that is not supported, or
            sizes that do not fit each other; the message begins with the path.
    """
    path = Path(path)
    content = read.decompressed(path)
    try:
        net = messages.parse(memoryview(content))
        check_header(net)
        form = read_format(net)
        encoding = net.message("format").number("weights_encoding")
        weights = net.message("weights")
        module = Builder(weights, form, encoding).net(policy_head, value_head)
    except SubjectError as error:
        raise SubjectError(f"{path}: {error}") from error
    info = Lc0Info(
        blocks=len(module.blocks),
        width=module.width,
        heads=weights.number("headcount") if form.attention else 0,
        parameters=sum(each.numel() for each in module.parameters()),
        format=form,
        training_steps=net.message("training_params").number("training_steps"),
        license=net.text("license"),
    )
    return Lc0Subject(label or path.name.removesuffix(".pb.gz"), module, info)
