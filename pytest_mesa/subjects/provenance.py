"""Where a released model came from and how it was loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which model this is and how it was loaded, for the record.

    ``ref`` is what this run calls the model; the other fields are the same under any name.
    """

    ref: str
    revision: str
    weights_sha: str
    device: str
    dtype: str
    remote_code: bool
    parameters: int

    def to_json(self) -> dict[str, Any]:
        """The fields that the ledger keeps, without the name, which it has from the run."""
        fields = asdict(self)
        del fields["ref"]
        return fields
