"""The JSON that a shields.io endpoint badge is drawn from."""

from __future__ import annotations

import json

from pytest_mesa.report.release import Release


def badge(release: Release) -> str:
    """``mesa | 3 pass, 1 fail``, coloured by the gravest outcome.

    Source: https://shields.io/badges/endpoint-badge, schema version 1.
    """
    counts = release.counts
    message = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    if not message:
        message, colour = "no verdicts", "lightgrey"
    elif counts["fail"]:
        colour = "red"
    elif counts["error"]:
        colour = "orange"
    else:
        colour = "yellow" if counts["inconclusive"] else "brightgreen"
    shown = {"schemaVersion": 1, "label": "mesa", "message": message, "color": colour}
    return json.dumps(shown, indent=2) + "\n"
