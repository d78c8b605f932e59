"""What is wrong with a spec, and where: one record a mistake, rendered for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

CLIP = 100  # columns of a source line that are shown; a whole minified file may be one line
LEAD = 60  # of these, how many may stand before the caret
LONGEST_WORD = 80  # matching is quadratic, and no key or kind is longer


@dataclass(frozen=True, slots=True)
class SpecError:
    """One mistake in one file. ``line`` and ``col`` are 1-based, ``col`` in characters."""

    message: str
    file: str
    line: int = 1
    col: int = 1
    source_line: str = ""
    hint: str | None = None

    def render(self) -> str:
        """``file:line:col: message``, then the source line, a caret, and the hint."""
        out = [f"{printable(self.file)}:{self.line}:{self.col}: {printable(self.message)}"]
        if self.source_line.strip():
            shown, caret = _clipped(self.source_line, self.col)
            out += [f"    {shown}", f"    {' ' * caret}^"]
        if self.hint:
            out.append(f"  {printable(self.hint)}")
        return "\n".join(out)


class SpecErrors(Exception):  # noqa: N818  (it holds many)
    """Everything that is wrong with one file, in the order of its lines."""

    def __init__(self, errors: Iterable[SpecError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.line, error.col)))
        if not self.errors:
            raise ValueError("SpecErrors needs at least one error")
        super().__init__(self.errors)

    @property
    def file(self) -> str:
        """The file that all of these errors are in."""
        return self.errors[0].file

    def render(self) -> str:
        """All errors, one after another."""
        return "\n".join(error.render() for error in self.errors)

    def __str__(self) -> str:
        return self.render()


def did_you_mean(word: object, known: Iterable[str]) -> str | None:
    """``did you mean 'x'?`` for the nearest of the known words, or None where none is near."""
    if not isinstance(word, str) or len(word) > LONGEST_WORD:
        return None
    spelt = {option.casefold().replace("_", "-"): option for option in known}
    near = get_close_matches(word.casefold().replace("_", "-"), spelt, n=1, cutoff=0.6)
    return f"did you mean '{spelt[near[0]]}'?" if near else None


def printable(text: str) -> str:
    """The text with each character that a terminal would act on replaced, one for one."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def _clipped(line: str, col: int) -> tuple[str, int]:
    """The part of the line around ``col``, and the caret's offset in terminal cells."""
    start = max(0, col - 1 - LEAD) if len(line) > CLIP else 0
    end = min(len(line), start + CLIP)
    shown = printable(line[start:end])
    before = shown[: col - 1 - start]
    left = "…" if start else ""
    right = "…" if end < len(line) else ""
    return f"{left}{shown}{right}", len(left) + sum(map(_cells, before))


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
