"""HTML from untrusted text. What is markup has the type `Html`; all other text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NewType

from pytest_mesa.ledger.facts import Cell, Facts, Form
from pytest_mesa.registry.errors import printable

Html = NewType("Html", str)


def text(value: object) -> Html:
    """User text as it reads: no markup, and nothing that a browser would act on."""
    return Html(html.escape(plain(value)))


def plain(value: object) -> str:
    """User text with its line breaks, but no other character that is not printed."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in str(value).split("\n"))


def element(name: str, *children: Html, **attributes: str) -> Html:
    """``<name …>children</name>``; a trailing underscore of an attribute's name is dropped."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{shown}>{''.join(children)}</{name}>")


def joined(parts: Iterable[Html]) -> Html:
    """Blocks, one a line, for those who read the source."""
    return Html("\n".join(part for part in parts if part))


def paragraph(value: str, **attributes: str) -> Html:
    """User text as a paragraph; nothing where there is none."""
    return element("p", text(value), **attributes) if value.strip() else Html("")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Html]]) -> Html:
    """A table whose first column names its rows, in a frame that scrolls if it must."""
    top = element("tr", *(element("th", text(name), scope="col") for name in head))
    body = [
        element("tr", Html(f'<th scope="row">{first or "–"}</th>'), *map(_data, rest))
        for first, *rest in rows
    ]
    whole = element(
        "table",
        element("caption", text(caption)),
        element("thead", top),
        Html("\n"),
        element("tbody", joined(body)),
    )
    # Without a tabindex, what is scrolled out of sight can't be reached by keyboard.
    return element("div", whole, class_="wide", role="region", aria_label=caption, tabindex="0")


def facts_table(caption: str, facts: Facts) -> Html:
    """Facts as a table; nothing where there are none."""
    if not facts.rows:
        return Html("")
    return table(caption, facts.head, [[cell(each) for each in row] for row in facts.rows])


def cell(value: Cell) -> Html:
    """A cell's content."""
    if value.form is Form.CODE:
        return element("code", text(value.value)) if value.value else Html("")
    return number(value.value) if value.form is Form.NUMBER else text(value.value)


def number(value: str) -> Html:
    """Numbers that shall stand in one line under each other."""
    return element("span", text(value), class_="number") if value else Html("")


def _data(content: Html) -> Html:
    return element("td", content or Html("–"))
