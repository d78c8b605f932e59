"""``RESULTS.md``: the ledger as a page. A pure function of the records, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pytest_mesa.ledger.markdown import code, interval, region, table, text
from pytest_mesa.ledger.records import OUTCOMES, Record, item
from pytest_mesa.ledger.sections import Entry, anchor, mark, name, section
from pytest_mesa.verdicts.ebh import e_bh

# The rate of false conclusions among those that the table marks as surviving.
REGISTRY_ALPHA = 0.05
_LEGEND = f"""\
**pass**: the claim is upheld, its bounds lie in the predicted region. **fail**: it is refuted.
**inconclusive**: neither, for the reason given. **error**: the run broke, which says nothing
about the claim. Bounds hold at each prediction's own alpha, however often scores were looked at;
those over nets of a ladder hold for each record by itself.
**e-BH**: the conclusion survives among all of them at a false discovery rate of
{REGISTRY_ALPHA:g}. *Exploratory*: the spec was not locked as it was run."""


def render(records: Sequence[Record]) -> str:
    """The page for a ledger's records, in their order in the ledger.

    Items are sorted by name; each item's newest verdict is the last in the ledger. No clock,
    environment or file is looked at, so the same ledger gives the same bytes.
    """
    entries = _entries(records)
    parts = ["# Results", _summary(entries)]
    if entries:
        parts += [_overview(entries), _LEGEND]
        parts += [section(entries[key]) for key in sorted(entries)]
    parts += _amendments(records)
    parts.append(_footer(records))
    return "\n\n".join(parts) + "\n"


def survivors(newest: Sequence[Record], alpha: float = REGISTRY_ALPHA) -> frozenset[str]:
    """The names of the conclusions that survive e-BH among all the newest verdicts.

    What reached no conclusion, errors included, counts among them with an e-value of 1.
    """
    conclusive = {"pass", "fail"}
    e_values = {
        name(record): float(record.get("e_value", 1.0)) if record["verdict"] in conclusive else 1.0
        for record in newest
    }
    kept = e_bh(e_values, alpha) if e_values else frozenset()
    return frozenset(name(r) for r in newest if r["verdict"] in conclusive) & kept


def _entries(records: Sequence[Record]) -> dict[tuple[str, str], Entry]:
    """The verdicts of each item with their line numbers, and the amendments to each."""
    entries: dict[tuple[str, str], Entry] = {}
    for line, record in enumerate(records, 1):
        if record["kind"] == "verdict":
            entries.setdefault(item(record), Entry()).verdicts.append((line, record))
    for line, record in enumerate(records, 1):
        if record["kind"] == "amend":
            for key, entry in entries.items():
                if record.get("prediction") == key[0]:
                    entry.amendments.append((line, record))
    return entries


def _summary(entries: Mapping[tuple[str, str], Entry]) -> str:
    if not entries:
        return "The ledger holds no verdict yet."
    counts = Counter(entry.newest["verdict"] for entry in entries.values())
    told = ", ".join(f"{counts[word]} {word}" for word in OUTCOMES if counts[word])
    plural = "prediction" if len(entries) == 1 else "predictions"
    return f"{len(entries)} {plural}: {told}."


def _overview(entries: Mapping[tuple[str, str], Entry]) -> str:
    newest = [entries[key].newest for key in sorted(entries)]
    kept = survivors(newest)
    head = ["prediction", "subjects", "verdict", "estimate", "predicted", "refuted", "n", "e-BH"]
    return table(head, [_overview_row(record, kept) for record in newest])


def _overview_row(record: Record, kept: frozenset[str]) -> list[str]:
    regions = record["claim"].get("regions", {})
    count = record.get("n")
    return [
        f"[{text(name(record))}](#{anchor(record)})",
        text(record["model"].get("ref", "")),
        mark(record),
        interval(record),
        region(regions.get("predicted", {})),
        region(regions.get("refuted", {})),
        f"{count:,}" if isinstance(count, int) else "",
        "✓" if name(record) in kept else "",
    ]


def _amendments(records: Sequence[Record]) -> list[str]:
    """Amendments to the ledger itself, not to one prediction."""
    verdicts = {record["prediction"] for record in records if record["kind"] == "verdict"}
    rows = [
        [str(line), text(record["time"]), text(record["reason"])]
        for line, record in enumerate(records, 1)
        if record["kind"] == "amend" and record.get("prediction") not in verdicts
    ]
    return ["## Amendments to the ledger", table(["line", "time", "reason"], rows)] if rows else []


def _footer(records: Sequence[Record]) -> str:
    plural = "record" if len(records) == 1 else "records"
    head = f", the last of them {code(str(records[-1]['sha'])[:12])}" if records else ""
    told = f"Rendered from {len(records):,} {plural}{head}."
    return f"---\n\n{told} Edit the predictions, not this page."
