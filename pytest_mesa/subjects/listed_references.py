"""Lists of model references that stand for one ladder: ``ladder:REF;REF;…``.

What is in the list is the ladder, in whatever order it was written: the text that is recorded
is sorted, so that a set of models has one name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

LADDER, BETWEEN = "ladder:", ";"
_DIGITS = 8


def members(text: str) -> tuple[str, ...]:
    """The references that a list holds; none where the text is another reference."""
    if not text.startswith(LADDER) or BETWEEN not in text:
        return ()
    parts = (part.strip() for part in text.removeprefix(LADDER).split(BETWEEN))
    return tuple(part for part in parts if part)


def listed(references: Iterable[str]) -> str:
    """The one reference that stands for all of these."""
    parts = sorted(references)
    # Of one alone no list could be told from the name of a ladder, or its directory.
    return LADDER + BETWEEN.join(parts) + (BETWEEN if len(parts) == 1 else "")


def can_be_listed(text: str) -> bool:
    """Whether a reference may stand in a list: it is none itself, and would not be torn."""
    return not text.startswith(LADDER) and BETWEEN not in text


def called(text: str) -> str:
    """A list by the number of its members and a piece of its hash; other text as it is.

    Two lists are called the same where they hold the same references.
    """
    parts = members(text)
    if not parts:
        return text
    digest = hashlib.sha256(listed(parts).encode()).hexdigest()
    return f"{len(parts)}-models-{digest[:_DIGITS]}"
