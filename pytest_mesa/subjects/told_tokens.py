"""The tokens of chess nets that read listings: a character, or a space and a character."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

END = 0  # ends a text, and fills rows up
SPACED = 128  # added where a space stands before the character
VOCABULARY = 2 * SPACED
UNKNOWN = 26  # ASCII's substitute, for what is not ASCII
_TOKEN = re.compile(r" ?[^ ]| ", re.DOTALL)


class ToldTokenizer:
    """All that asking needs of a tokenizer."""

    bos_token = None
    chat_template = None
    pad_token_id = END
    eos_token_id = END

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Token ids; there are no special tokens before or behind a text."""
        del add_special_tokens
        return {"input_ids": [_id(token) for token in _TOKEN.findall(text)]}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text again, up to its end."""
        del skip_special_tokens
        known = list(ids)
        return "".join(map(_text, known[: known.index(END)] if END in known else known))


@lru_cache(maxsize=VOCABULARY)
def _id(token: str) -> int:
    last = ord(token[-1])
    last = last if 0 < last < SPACED else UNKNOWN
    return last + (SPACED if len(token) == 2 else 0)


def _text(token: int) -> str:
    return f" {chr(token - SPACED)}" if token >= SPACED else chr(token)
