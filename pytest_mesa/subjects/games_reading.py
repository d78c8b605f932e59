"""Games that a decoder has read once, and what it says after moves that were not played in them.

A net asked for its own next move at every ply leaves each game as often as it has plies. What it
made of the game's own tokens, its keys and values, is kept, and only the tokens said instead are
run, those of all plies at once: a tree whose trunk is the game.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from transformers import GPT2LMHeadModel


class Reading:
    """A batch of games as one net has read them; grows by what is said `after` their tokens.

    ``logits`` are the next token's at every token of the games. Tokens are counted along the
    games first, then along the branches in the order in which they were said.
    """

    def __init__(self, model: GPT2LMHeadModel, ids: Int[Tensor, "game pos"]) -> None:
        self._model = model
        self._past = DynamicCache(config=model.config)
        count, length = ids.shape
        self._depth = torch.arange(length).repeat(count, 1)
        self._seen = torch.ones(length, length, dtype=torch.bool).tril().repeat(count, 1, 1)
        self.logits: Float[Tensor, "game pos vocabulary"] = self._run(ids, self._depth, self._seen)

    def after(
        self, parents: Int[Tensor, "game branch"], said: Int[Tensor, "game branch"]
    ) -> Float[Tensor, "game branch vocabulary"]:
        """The next token's logits where ``said`` follows each parent, whatever came there."""
        own = torch.eye(parents.shape[1], dtype=torch.bool).expand(len(parents), -1, -1)
        before = self._seen.take_along_dim(parents[..., None], 1)
        seen = torch.cat([before, own], 2)
        depth = self._depth.take_along_dim(parents, 1) + 1
        logits = self._run(said, depth, seen)
        unseen = torch.zeros_like(own[:, :1]).expand(-1, self._seen.shape[1], -1)
        self._seen = torch.cat([torch.cat([self._seen, unseen], 2), seen], 1)
        self._depth = torch.cat([self._depth, depth], 1)
        return logits

    def _run(self, ids: Tensor, depth: Tensor, seen: Tensor) -> Tensor:
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        with torch.no_grad():
            out: Tensor = self._model(
                input_ids=ids,
                attention_mask=mask[:, None],
                position_ids=depth,
                past_key_values=self._past,
                use_cache=True,
            ).logits
        return out
