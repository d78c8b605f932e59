"""A release's verdicts as JUnit XML, each with its numbers as properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.sections import name
from pytest_mesa.report.markup import plain
from pytest_mesa.report.release import Release
from pytest_mesa.report.terminal import bounds_text

_TAGS = {"fail": "failure", "error": "error", "inconclusive": "skipped"}


def junit(release: Release) -> str:
    """The XML: refuted claims are failures, inconclusive ones are skipped."""
    counts = release.counts
    sizes = {
        "tests": str(len(release.records)),
        "failures": str(counts["fail"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["inconclusive"]),
        "time": f"{sum(record['duration_s'] for record in release.records):.3f}",
    }
    suites = ET.Element("testsuites", sizes)
    suite = ET.SubElement(suites, "testsuite", {"name": "mesa", **sizes})
    for record in release.records:
        _case(suite, record)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def properties(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What a reader of the XML may want to plot or to gate on; of a record, or a body of one."""
    found: dict[str, object] = {"verdict": record["verdict"], "reason": record["reason"]}
    if "estimate" in record:
        lower, upper = record["bounds"]
        found["estimand"] = record["claim"].get("estimand", "")
        found |= {"estimate": record["estimate"], "lower": lower, "upper": upper}
        found |= {"n": record["n"], "alpha": record["alpha"]}
        found["detection_limit"] = record.get("detection_limit")
    model = record["model"]
    found |= {"model": model.get("ref", ""), "weights_sha": model.get("weights_sha", "")}
    found |= {"spec_sha": record["spec_sha"], "locked": record["locked"]}
    found["record"] = record.get("sha", "")
    return [(key, value) for key, value in found.items() if value not in ("", None)]


def _case(suite: ET.Element, record: Record) -> None:
    src = record["src"]
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": plain(src.get("file", "")),
            "name": plain(name(record)),
            "file": plain(src.get("file", "")),
            "line": str(src.get("line", 1)),
            "time": f"{record['duration_s']:.3f}",
        },
    )
    listed = ET.SubElement(case, "properties")
    for key, value in properties(record):
        ET.SubElement(listed, "property", {"name": key, "value": plain(value)})
    if tag := _TAGS.get(record["verdict"]):
        said = " ".join(part for part in (record["reason"], bounds_text(record)) if part)
        told = ET.SubElement(case, tag, {"message": plain(said or record["verdict"])})
        told.text = plain(record.get("message", ""))
