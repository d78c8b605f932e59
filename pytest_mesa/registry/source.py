"""A spec's text before it is parsed: read within bounds, decoded, and screened."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_mesa.registry.errors import SpecError, SpecErrors

MAX_BYTES = 256 * 1024

# YAML's own non-printable characters; the breaks that YAML 1.1 counts as lines and an editor
# may not (lone CR, NEL, LS, PS), which would shift every position after them; and a byte-order
# mark in mid-text.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]|\r(?!\n)"
)
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_MARKS = {
    b"\xef\xbb\xbf": "a UTF-8 byte-order mark",
    b"\xff\xfe": "a UTF-16 byte-order mark",
    b"\xfe\xff": "a UTF-16 byte-order mark",
}


@dataclass(frozen=True)
class Source:
    """A file's name and text, and the errors that point into it."""

    file: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The text's lines without their ends; at least one."""
        lines = self.text.replace("\r\n", "\n").split("\n")
        return lines[:-1] if len(lines) > 1 and not lines[-1] else lines

    def error(self, message: str, line: int, col: int, hint: str | None = None) -> SpecError:
        """An error at a 1-based position, moved inside the text where it lies beyond."""
        if line > len(self.lines):
            line = len(self.lines)
            col = len(self.lines[-1]) + 1
        line = max(1, line)
        shown = self.lines[line - 1]
        return SpecError(message, self.file, line, min(max(1, col), len(shown) + 1), shown, hint)

    def at_index(self, message: str, index: int, hint: str | None = None) -> SpecErrors:
        """A lone error at a 0-based offset into the text."""
        before = self.text[:index]
        line = before.count("\n") + 1
        return SpecErrors([self.error(message, line, index - before.rfind("\n"), hint)])


def screened(text: str, file: str) -> Source:
    """Refuse what the parser would misread, take too long over, or count lines otherwise in.

    Raises:
        SpecErrors: too long, control characters, odd line breaks, or YAML directives.
    """
    if len(text) > MAX_BYTES:
        raise _too_large(file, len(text))
    source = Source(file, text)
    if found := _UNWANTED.search(text):
        raise source.at_index(*_unwanted(found.group(), found.start()))
    if found := _DIRECTIVE.search(text):
        raise source.at_index(
            "YAML directives (lines that begin with %) are not supported",
            found.start(),
            "remove this line",
        )
    return source


def decoded(data: bytes, file: str) -> str:
    """The text of a spec's bytes.

    Raises:
        SpecErrors: too large, a byte-order mark, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(file, len(data))
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            hint = "save it as UTF-8 without a byte-order mark"
            raise SpecErrors([SpecError(f"the file begins with {name}", file, hint=hint)])
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # Replacement keeps one character a byte or more before the bad one, so its offset in
        # characters is that of the part that does decode.
        source = Source(file, data.decode(errors="replace"))
        raise source.at_index(
            f"the file is not UTF-8: {error.reason} (0x{data[error.start]:02x})",
            len(data[: error.start].decode()),
            "save it as UTF-8",
        ) from None


def read_bytes(path: Path, file: str) -> bytes:
    """The bytes of a regular file of bounded size; nothing else is opened.

    Raises:
        SpecErrors: absent, unreadable, not a regular file, or too large.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            kind = "a directory" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise SpecErrors([SpecError(f"expected a YAML file, found {kind}", file)])
        if info.st_size > MAX_BYTES:
            raise _too_large(file, info.st_size)
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise SpecErrors([unreadable(error, file)]) from None


def unreadable(error: OSError | ValueError, file: str) -> SpecError:
    """The operating system's refusal, in words."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ELOOP:
        return SpecError("cannot be read: the link leads back to itself", file)
    why = os.strerror(number).lower() if number else str(error)
    return SpecError(f"cannot be read: {why}", file)


def _too_large(file: str, size: int) -> SpecErrors:
    message = f"the file is too large: {size:,} bytes, where a spec has at most {MAX_BYTES:,}"
    return SpecErrors([SpecError(message, file)])


def _unwanted(char: str, index: int) -> tuple[str, int, str]:
    code = f"U+{ord(char):04X}"
    if char == "\r":
        what = "a lone carriage return (U+000D) is no line end"
        return what, index, "save the file with LF or CRLF line ends"
    if char in "\x85\u2028\u2029":
        what = f"the line separator {code} is not supported"
        return what, index, "use a plain line break"
    if char == "\x00":
        return "the file has a NUL byte: is it a text file?", index, "save it as UTF-8 text"
    return f"the character {code} is not allowed in YAML", index, "remove it"
