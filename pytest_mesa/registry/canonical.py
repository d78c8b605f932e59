"""The one JSON encoding that every hash in the project is taken over."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mesa.registry.models import Prediction

Json = Any  # JSON values: dict, list, str, int, float, bool, None


def canonical(value: Json) -> bytes:
    """Encode a JSON value in its one canonical form: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: NaN or an infinity anywhere in the value.
        TypeError: something that JSON has no form for.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def spec_sha(prediction: Prediction) -> str:
    """Hash what a prediction says, as hex SHA-256 over every field, defaults included.

    Comments, key order and spelling (``1e-1`` or ``0.1``) don't count; a default that changes
    in a later version does, because the registered experiment is then another one.
    """
    return hashlib.sha256(canonical(prediction.model_dump(mode="json"))).hexdigest()
