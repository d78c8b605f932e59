"""The YAML parser's complaints in a spec author's words, with the usual remedy."""

from __future__ import annotations

import re

import yaml

from pytest_mesa.registry.errors import SpecError
from pytest_mesa.registry.source import Source

_NO_SPACE = re.compile(r"\s*(?:- )?[\w-]+:[^\s:/]")
_BRACKETS = {"sequence": "[", "mapping": "{"}


def syntax_error(error: yaml.MarkedYAMLError, source: Source) -> SpecError:
    """Where the text stops being YAML, why, and what to do about it."""
    line, col = _place(error.problem_mark) or _place(error.context_mark) or (1, 1)
    began = _place(error.context_mark)
    problem = error.problem or "malformed"
    context = error.context or ""
    hint = f"{context} that begins on line {began[0]}" if began else context or None
    char = _rest(source, line, col)[:1]
    if char == "\t":
        problem, hint = "a tab cannot indent YAML", "indent with spaces"
    elif "quoted scalar" in context and "end of stream" in problem and began:
        (line, col), problem = began, "this quote is never closed"
        hint = "close it, or remove it"
    elif "flow" in context and "expected ','" in problem and began:
        bracket = _BRACKETS["sequence" if "sequence" in context else "mapping"]
        hint = f"the '{bracket}' on line {began[0]} is not closed, or a comma is missing"
    elif "mapping values are not allowed" in problem:
        problem = "a ':' is out of place here"
        before = _rest(source, line - 1, 1)
        hint = (
            f"line {line - 1} needs a space after its ':'"
            if _NO_SPACE.match(before)
            else "check the indentation, or quote text that has ': ' in it"
        )
    elif "cannot start any token" in problem:
        problem, hint = f"text cannot begin with {char}", "quote it"
    elif "could not find expected ':'" in problem:
        hint = "a key needs ': ' after it; text over several lines needs indentation"
    elif "block mapping" in context or "block collection" in context:
        problem = "expected a key, or a line indented like the lines above"
    return source.error(f"not YAML: {problem}", line, col, hint)


def _place(mark: yaml.Mark | None) -> tuple[int, int] | None:
    return (mark.line + 1, mark.column + 1) if mark is not None else None


def _rest(source: Source, line: int, col: int) -> str:
    inside = 1 <= line <= len(source.lines)
    return source.lines[line - 1][col - 1 :] if inside else ""
