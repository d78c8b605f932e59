"""One prediction's section of ``RESULTS.md``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pytest_mesa.ledger import facts
from pytest_mesa.ledger.markdown import code, fence, interval, link, region, table, text
from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.tables import drawing, exhibit, rendered, sensitivity
from pytest_mesa.subjects.listed_references import called

SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "error": "!"}
LOCKS = {
    "differs": "the spec has changed since it was locked",
    "unlocked": "the spec was not locked before it was run",
}
# Older verdicts stay in the ledger; a page needs no more of them.
_HISTORY = 20


@dataclass(slots=True)
class Entry:
    """An item's verdict records, oldest first, and its amendments, with their line numbers."""

    verdicts: list[tuple[int, Record]] = field(default_factory=list)
    amendments: list[tuple[int, Record]] = field(default_factory=list)

    @property
    def newest(self) -> Record:
        """The last verdict in the ledger."""
        return self.verdicts[-1][1]


def name(record: Record) -> str:
    """The item's name: ``knapsack-no-dp`` or ``chess-go-circuits[gemma3-270m]``.

    A list of models goes by what it is called.
    """
    lineup = called(record.get("lineup", ""))
    return f"{record['prediction']}[{lineup}]" if lineup else str(record["prediction"])


def anchor(record: Record) -> str:
    """The section's anchor: the name in letters that need no escape."""
    # Ids never hold two hyphens in a row, so no line-up can look like another prediction.
    parts = (record["prediction"], called(record.get("lineup", "")))
    slugs = [re.sub(r"[^a-z0-9]+", "-", str(part).lower()).strip("-") for part in parts]
    return "--".join(slug for slug in slugs if slug)


def mark(record: Record) -> str:
    """The verdict's symbol and word, marked where it is exploratory."""
    word = record["verdict"]
    exploratory = " *(exploratory)*" if record["locked"] in LOCKS else ""
    return f"{SYMBOLS.get(word, '')} **{word}**{exploratory}"


def section(entry: Entry) -> str:
    """The newest verdict with all that it rests on, then what came before it."""
    record = entry.newest
    parts = [
        f'<a id="{anchor(record)}"></a>\n\n## {text(name(record))}',
        f"**{text(record['claim'].get('title', ''))}**",
        f"> {text(record['claim'].get('claim', ''))}",
        f"{mark(record)}: {meaning(record)}",
    ]
    if note := LOCKS.get(record["locked"]):
        parts.append(f"*Exploratory*: {note}.")
    if record["verdict"] == "error":
        parts.append(fence(str(record.get("message") or record["reason"])))
    else:
        parts += _evidence(record)
    parts += [f"Note: {text(note)}" for note in record["claim"].get("notes", [])]
    parts.append(_provenance(record))
    parts += _history(entry)
    return "\n\n".join(part for part in parts if part)


def meaning(record: Record) -> str:
    """What the verdict says, in one sentence that needs no statistics."""
    claim = record["claim"]
    estimand = text(claim.get("estimand", "the estimand"))
    regions = claim.get("regions", {})
    who = {"every": "every subject", "some": "some subject"}.get(
        str(claim.get("quantifier")), "the required share of subjects"
    )
    if record["verdict"] == "pass":
        where = region(regions.get("predicted", {}))
        return (
            f"the claim stands: {estimand} is {where} in {who}, and the instrument saw the "
            "effect in the nets that are known to have it."
        )
    if record["verdict"] == "fail":
        where = region(regions.get("refuted", {}))
        return (
            f"the claim is refuted: {estimand} is {where} in enough subjects to contradict "
            "it, and the controls show that the instrument raises no false alarm."
        )
    if record["verdict"] == "error":
        return f"the run broke ({text(record['reason'])}); this says nothing about the claim."
    remedy = record.get("remedy")
    settle = f" What would settle it: {text(remedy)}." if remedy else ""
    return f"nothing is concluded ({text(record['reason'])}).{settle}"


def _evidence(record: Record) -> list[str]:
    """Estimate, subjects, controls, competence, limit of detection, rivals, exhibit."""
    estimand = text(record["claim"].get("estimand", "estimate"))
    return [
        text(record.get("message", "")),
        f"{estimand}: **{interval(record)}** at alpha {record['alpha']:g}, n = {record['n']:,}.",
        drawing(record),
        sensitivity(record),
        *_titled("Subjects", rendered(facts.subjects(record["subjects"]))),
        *_titled("Strata", rendered(facts.strata(record["subjects"]))),
        *_titled("Controls", rendered(facts.controls(record["controls"]))),
        *_titled("Rival explanations", rendered(facts.rivals(record["subjects"]))),
        *_titled("Exhibit", exhibit(record.get("exhibit") or {})),
    ]


def _provenance(record: Record) -> str:
    """Where the spec, the code and the weights of the newest verdict are to be found."""
    src, git = record["src"], record["git"]
    file = str(src.get("file", ""))
    where = code(f"{file}:{src.get('line', 1)}")
    is_relative = bool(file) and not file.startswith("/") and ".." not in file.split("/")
    spec = link(where, f"{file}#L{src.get('line', 1)}") if is_relative else where
    commit = code(str(git.get("commit", ""))[:12])
    facts = [
        f"spec {spec} {code(record['spec_sha'][:12])} ({record['locked']})",
        f"weights {code(str(record['model'].get('weights_sha', ''))[:12]) or '–'}",
        f"seed {record['seed']}",
        f"plugin {code(record['plugin'])}",
        f"commit {commit}{' with changes' if git.get('dirty') else ''}" if commit else "",
        f"{text(record['time'])}, {record['duration_s']:g} s",
        f"record {code(record['sha'][:12])}",
    ]
    return " · ".join(fact for fact in facts if fact)


def _history(entry: Entry) -> list[str]:
    """Verdicts and amendments, newest first."""
    rows = []
    for line, record in entry.verdicts:
        what = f"{mark(record)}" + (f" ({text(record['reason'])})" if record["reason"] else "")
        shas = [
            code(str(record["model"].get("weights_sha", ""))[:12]),
            code(record["spec_sha"][:12]),
        ]
        rows.append((line, [text(record["time"]), what, interval(record), *shas]))
    for line, record in entry.amendments:
        rows.append((line, [text(record["time"]), "amendment", text(record["reason"]), "", ""]))
    rows.sort(key=lambda row: -row[0])
    head = ["line", "time", "verdict", "estimate", "weights", "spec"]
    shown = table(head, [[str(line), *cells] for line, cells in rows[:_HISTORY]])
    more = len(rows) - _HISTORY
    return _titled("History", shown) + ([f"{more:,} earlier in the ledger."] if more > 0 else [])


def _titled(title: str, body: str) -> list[str]:
    return [f"### {title}", body] if body else []
