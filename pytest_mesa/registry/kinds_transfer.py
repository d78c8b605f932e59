"""The kind ``transfer``: does what looks like search in one setting look like it in another?"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from pytest_mesa.registry.kind import Kind
from pytest_mesa.registry.models import Closed, fault

Setting = Literal["early", "late", "random"]


class SharedCode(Closed):
    """One code for all settings, written into the subject's stream ever louder until seen."""

    strengths: tuple[float, ...] = Field(
        (0.25, 0.5),
        min_length=1,
        description="Length of the code, in standard deviations of a channel of the stream.",
    )

    @field_validator("strengths")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, strength) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < strength <= 100:
                raise fault("strengths ascend, each above 0 and at most 100", index)
        return value


class Transfer(Closed):
    """How much of a probe's power, and of its direction's, is kept in another setting.

    The probe tells attacked pieces that a two-ply search can win from those that it cannot, on
    a chess net's stream at their squares. Settings are phases of real games (``early``,
    ``late``) and positions that ``random`` legal moves lead to.
    """

    kind: Literal["transfer"]
    pairs: tuple[tuple[Setting, Setting], ...] = Field(
        min_length=1, description="Settings held against each other, in both directions."
    )
    fit: int = Field(400, ge=40, le=20_000, description="Positions a setting to fit probes on.")
    choose: int = Field(120, ge=20, le=20_000, description="Positions to choose layers on.")
    steered: int = Field(
        150, ge=20, le=20_000, description="Positions a setting in which directions are added."
    )
    floors: int = Field(
        5, ge=3, le=100, description="Random directions, as likely in the stream, for comparison."
    )
    power: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="What a probe must surely reach at home, beyond 0.5, for its loss to count.",
    )
    spike_in: SharedCode = SharedCode()

    @field_validator("pairs")
    @classmethod
    def _two_settings(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        seen: list[Any] = []
        for index, pair in enumerate(value):
            if pair[0] == pair[1]:
                raise fault("a pair has two settings", index)
            if set(pair) in seen:
                raise fault(f"{pair[0]} and {pair[1]} are given twice", index)
            seen.append(set(pair))
        return value


TRANSFER = Kind("transfer", Transfer, "pytest_mesa.experiments.transfer:STUDY")
