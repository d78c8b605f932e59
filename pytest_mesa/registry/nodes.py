"""YAML text to plain values, with the position of every key and value.

The document is built from the parser's events, one at a time, and never by PyYAML's own
``compose``: that one recurses in C and takes the process down on deep nesting, whereas here
the first event beyond a bound ends the parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.scalars import Scalar, ScalarError, plain
from pytest_mesa.registry.source import Source
from pytest_mesa.registry.syntax import syntax_error

MAX_DEPTH = 32
MAX_NODES = 10_000

Value = Any  # Scalar, tuple[Value, ...] or dict[str, Value]

# What a terminal or a Markdown table would act on, reached through escapes such as "\e".
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Events(Protocol):
    """The part of a PyYAML loader that is used here."""

    def get_event(self) -> yaml.Event | None: ...

    def dispose(self) -> None: ...


@dataclass(slots=True)
class Node:
    """Where a value stands: 1-based line and column of the value and of its key, if it has one.

    ``children`` are keyed as the value's: by key for a mapping, by index for a list.
    """

    line: int
    col: int
    block: bool = False
    key: tuple[int, int] | None = None
    children: dict[str | int, Node] = field(default_factory=dict)

    @property
    def name(self) -> tuple[int, int]:
        """The position of the value's key, or of the value where it has none."""
        return self.key or (self.line, self.col)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been reached."""

    node: Node
    value: dict[str, Value] | list[Value]
    key: tuple[str, tuple[int, int]] | None = None


def parse(source: Source, loader: type[Events] | None = None) -> tuple[Value, Node]:
    """Parse one YAML document. ``loader`` overrides the parser (the C one where there is one).

    Raises:
        SpecErrors: malformed, empty, too deep or too large; duplicate or non-string keys; more
            than one document; aliases, anchors, tags; numbers that no spec can hold.
    """
    # CSafeLoader is absent where PyYAML was built without libyaml.
    make: Any = loader or getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _Builder(source).build(make)


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.open: list[_Open] = []
        self.root: tuple[Value, Node] | None = None
        self.count = 0

    def build(self, make: Any) -> tuple[Value, Node]:
        for event in self._events(make):
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._start(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                raise self._refuse(event, "aliases (*name) are not supported", "write it out")
            elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                raise self._refuse(
                    event, "a second document begins here", "one file holds one prediction"
                )
        if self.root is None:
            raise SpecErrors([self.source.error("the file is empty", 1, 1, "try: mesa new ID")])
        return self.root

    def _events(self, make: Any) -> Iterator[yaml.Event]:
        parser: Events | None = None
        try:
            parser = make(self.source.text)
            while True:
                event = parser.get_event()
                if event is None or isinstance(event, yaml.StreamEndEvent):
                    return
                yield event
        except yaml.MarkedYAMLError as error:
            raise SpecErrors([syntax_error(error, self.source)]) from None
        except yaml.YAMLError as error:
            raise SpecErrors([self.source.error(f"not YAML: {error}", 1, 1)]) from None
        except (ValueError, OverflowError):
            # The pure Python parser passes escapes such as "\UFFFFFFFF" straight to chr().
            message = "an escape names no Unicode character"
            raise SpecErrors([self.source.error(message, 1, 1)]) from None
        finally:
            if parser is not None:
                parser.dispose()

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_plainness(event)
        text: str = event.value
        if found := _UNSAFE.search(text):
            raise self._refuse(
                event, f"the character U+{ord(found.group()):04X} is not allowed in text"
            )
        value: Scalar = text
        if event.implicit[0]:
            try:
                value = plain(text)
            except ScalarError as error:
                raise self._refuse(event, str(error)) from None
        if self.open and isinstance(self.open[-1].value, dict) and self.open[-1].key is None:
            self._key(self.open[-1], value, text, event)
        else:
            self._attach(value, Node(*_place(event)))

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._check_plainness(event)
        if len(self.open) >= MAX_DEPTH:
            raise self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        top = self.open[-1] if self.open else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            raise self._refuse(event, "a key must be a plain word, not a list or a mapping")
        node = Node(*_place(event), block=not event.flow_style)
        value: dict[str, Value] | list[Value]
        value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if top is not None and top.key is not None:
            node.key = top.key[1]
        self.open.append(_Open(node, value))

    def _end(self) -> None:
        done = self.open.pop()
        value = done.value if isinstance(done.value, dict) else tuple(done.value)
        self._attach(value, done.node)

    def _key(self, top: _Open, value: Scalar, text: str, event: yaml.ScalarEvent) -> None:
        if value is None:
            raise self._refuse(event, "a key is missing before ':'")
        if not isinstance(value, str):
            raise self._refuse(event, f"a key must be text, found {text}", f'quote it: "{text}"')
        if value == "<<" and event.implicit[0]:
            raise self._refuse(event, "merge keys (<<) are not supported", "write it out")
        if value in top.node.children:
            line, _ = top.node.children[value].name
            raise self._refuse(event, f"the key '{_short(value)}' is already given on line {line}")
        top.key = (value, _place(event))

    def _attach(self, value: Value, node: Node) -> None:
        self.count += 1
        if self.count > MAX_NODES:
            at = self.source.error(f"more than {MAX_NODES:,} values", node.line, node.col)
            raise SpecErrors([at])
        if not self.open:
            self.root = (value, node)
            return
        top = self.open[-1]
        if isinstance(top.value, list):
            top.node.children[len(top.value)] = node
            top.value.append(value)
        elif top.key is not None:
            name, node.key = top.key
            top.node.children[name] = node
            top.value[name] = value
            top.key = None

    def _check_plainness(
        self, event: yaml.ScalarEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent
    ) -> None:
        if event.anchor is not None:
            raise self._refuse(event, "anchors (&name) are not supported", "write it out")
        if event.tag is not None:
            raise self._refuse(
                event,
                f"tags ({_short(event.tag)}) are not supported",
                "remove it; quote a value to make it text",
            )

    def _refuse(self, event: yaml.Event, message: str, hint: str | None = None) -> SpecErrors:
        return SpecErrors([self.source.error(message, *_place(event), hint)])


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
