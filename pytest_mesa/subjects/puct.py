"""A chess net inside tree search: PUCT (Rosin 2011; Silver et al. 2017), many games at once.

Each visit walks every game's tree to a leaf, and all leaves share one forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from pytest_mesa.subjects.lc0.load import Lc0Subject

if TYPE_CHECKING:
    import chess

EXPLORATION = 1.75  # lc0's own default for its c-puct, without its growth by visits
UNSEEN = -0.2  # what a move is thought worth, from -1 to 1, beyond its parent before it is tried


@dataclass(eq=False)
class Node:
    """A position: how likely the move to it is, how often it was tried, and what that gave.

    ``total`` is for whoever makes the move to it.
    """

    prior: float
    visits: int = 0
    total: float = 0.0
    children: dict[chess.Move, Node] = field(default_factory=dict)

    def select(self) -> tuple[chess.Move, Node]:
        """The move to try next."""
        scale = EXPLORATION * math.sqrt(max(self.visits, 1))
        own = -self.total / self.visits if self.visits else 0.0

        def promise(node: Node) -> float:
            worth = node.total / node.visits if node.visits else own + UNSEEN
            return worth + scale * node.prior / (1 + node.visits)

        return max(self.children.items(), key=lambda item: promise(item[1]))


@dataclass(frozen=True)
class Puct:
    """Plays the most visited move after so many visits."""

    net: Lc0Subject
    visits: int

    def choose(self, boards: Sequence[chess.Board]) -> list[chess.Move]:
        """A move on each board, none of which is over."""
        roots = [Node(1.0) for _ in boards]
        for _ in range(self.visits):
            self._visit(roots, boards)
        return [
            max(root.children, key=lambda move, root=root: root.children[move].visits)  # type: ignore[misc]
            for root in roots
        ]

    def _visit(self, roots: Sequence[Node], boards: Sequence[chess.Board]) -> None:
        """Walk each tree to a leaf, read all leaves at once, and pass their worth up."""
        paths, leaves = [], []
        for root, board in zip(roots, boards, strict=True):
            path, walk = [root], board.copy()
            while path[-1].children:
                move, node = path[-1].select()
                walk.push(move)
                path.append(node)
            paths.append(path)
            leaves.append(walk)
        open_ones = [
            index for index, walk in enumerate(leaves) if not walk.is_game_over(claim_draw=False)
        ]
        worth = {index: _decided(walk) for index, walk in enumerate(leaves)}
        worth |= self._read(open_ones, [leaves[i] for i in open_ones], paths)
        for index, path in enumerate(paths):
            value = worth[index]
            for node in reversed(path):
                value = -value  # from whose turn it is to who moved there
                node.visits += 1
                node.total += value

    def _read(
        self, indices: Sequence[int], boards: Sequence[chess.Board], paths: Sequence[Sequence[Node]]
    ) -> dict[int, float]:
        """Give leaves their moves; what each is worth to the side to move."""
        if not boards:
            return {}
        outs = list(self.net.outputs(boards))
        policy = torch.cat([out.policy for out in outs])
        values = torch.cat([out.value for out in outs]).tolist()
        for index, board, logits in zip(indices, boards, policy, strict=True):
            legal = self.net.legal(board)
            shares = logits[list(legal.values())].softmax(0).tolist()
            paths[index][-1].children.update(
                {move: Node(share) for move, share in zip(legal, shares, strict=True)}
            )
        return dict(zip(indices, values, strict=True))


def _decided(board: chess.Board) -> float:
    """What a finished game is worth to the side to move."""
    return -1.0 if board.is_checkmate() else 0.0
