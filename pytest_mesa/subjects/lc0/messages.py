"""The messages of lc0's weight files, by field number, and how to read one.

The numbers are those of ``net.proto``; fields that play no part in running a net are left out
and skipped where they occur, as protobuf has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0 import wire

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``kind`` is uint, fixed32, float, bytes, text or a message's name."""

    name: str
    kind: str
    repeated: bool = False


_WIRE_TYPES = {"uint": wire.VARINT, "fixed32": wire.FIXED32, "float": wire.FIXED32}


def _fields(**numbered: tuple[int, str]) -> Mapping[int, Field]:
    """Fields from ``name=(number, kind)``; a star after the kind says that it repeats."""
    return MappingProxyType(
        {
            number: Field(name, kind.rstrip("*"), kind.endswith("*"))
            for name, (number, kind) in numbered.items()
        }
    )


def _layers(names: str) -> dict[str, tuple[int, str]]:
    """Layers numbered from 1 in the order given."""
    return {name: (number, "Layer") for number, name in enumerate(names.split(), 1)}


_POLICY = _layers("ip_pol_w ip_pol_b ip2_pol_w ip2_pol_b ip3_pol_w ip3_pol_b ip4_pol_w")
_VALUE = _layers("ip_val_w ip_val_b ip1_val_w ip1_val_b ip2_val_w ip2_val_b")

MESSAGES: Mapping[str, Mapping[int, Field]] = MappingProxyType(
    {
        "Net": _fields(
            magic=(1, "fixed32"),
            license=(2, "text"),
            min_version=(3, "Version"),
            format=(4, "Format"),
            training_params=(5, "Training"),
            weights=(10, "Weights"),
            onnx_model=(11, "bytes"),
        ),
        "Version": _fields(major=(1, "uint"), minor=(2, "uint"), patch=(3, "uint")),
        "Format": _fields(weights_encoding=(1, "uint"), network_format=(2, "NetworkFormat")),
        "NetworkFormat": _fields(
            input=(1, "uint"),
            output=(2, "uint"),
            network=(3, "uint"),
            policy=(4, "uint"),
            value=(5, "uint"),
            moves_left=(6, "uint"),
            default_activation=(7, "uint"),
            smolgen_activation=(8, "uint"),
            ffn_activation=(9, "uint"),
            input_embedding=(10, "uint"),
        ),
        "Training": _fields(training_steps=(1, "uint"), lc0_params=(6, "text")),
        "Layer": _fields(
            min_val=(1, "float"), max_val=(2, "float"), params=(3, "bytes"), encoding=(4, "uint")
        ),
        "ConvBlock": _fields(**_layers("weights biases bn_means bn_stddivs bn_gammas bn_betas")),
        "SEunit": _fields(**_layers("w1 b1 w2 b2")),
        "Residual": _fields(conv1=(1, "ConvBlock"), conv2=(2, "ConvBlock"), se=(3, "SEunit")),
        "Smolgen": _fields(
            **_layers(
                "compress dense1_w dense1_b ln1_gammas ln1_betas "
                "dense2_w dense2_b ln2_gammas ln2_betas"
            )
        ),
        "MHA": _fields(
            **_layers("q_w q_b k_w k_b v_w v_b dense_w dense_b"),
            smolgen=(9, "Smolgen"),
            rpe_q=(10, "Layer"),
            rpe_k=(11, "Layer"),
            rpe_v=(12, "Layer"),
        ),
        "FFN": _fields(**_layers("dense1_w dense1_b dense2_w dense2_b")),
        "EncoderLayer": _fields(
            mha=(1, "MHA"),
            ln1_gammas=(2, "Layer"),
            ln1_betas=(3, "Layer"),
            ffn=(4, "FFN"),
            ln2_gammas=(5, "Layer"),
            ln2_betas=(6, "Layer"),
        ),
        "PolicyHead": _fields(
            **_POLICY,
            pol_encoder=(8, "EncoderLayer*"),
            pol_headcount=(9, "uint"),
            policy1=(10, "ConvBlock"),
            policy=(11, "ConvBlock"),
        ),
        "ValueHead": _fields(**_VALUE, value=(11, "ConvBlock")),
        "PolicyHeads": _fields(
            ip_pol_w=(1, "Layer"),
            ip_pol_b=(2, "Layer"),
            vanilla=(3, "PolicyHead"),
            optimistic_st=(4, "PolicyHead"),
            soft=(5, "PolicyHead"),
            opponent=(6, "PolicyHead"),
        ),
        "ValueHeads": _fields(winner=(1, "ValueHead"), q=(2, "ValueHead"), st=(3, "ValueHead")),
        "Weights": _fields(
            input=(1, "ConvBlock"),
            residual=(2, "Residual*"),
            policy=(3, "ConvBlock"),
            ip_pol_w=(4, "Layer"),
            ip_pol_b=(5, "Layer"),
            value=(6, "ConvBlock"),
            ip1_val_w=(7, "Layer"),
            ip1_val_b=(8, "Layer"),
            ip2_val_w=(9, "Layer"),
            ip2_val_b=(10, "Layer"),
            policy1=(11, "ConvBlock"),
            moves_left=(12, "ConvBlock"),
            ip1_mov_w=(13, "Layer"),
            ip1_mov_b=(14, "Layer"),
            ip2_mov_w=(15, "Layer"),
            ip2_mov_b=(16, "Layer"),
            ip2_pol_w=(17, "Layer"),
            ip2_pol_b=(18, "Layer"),
            ip3_pol_w=(19, "Layer"),
            ip3_pol_b=(20, "Layer"),
            pol_encoder=(21, "EncoderLayer*"),
            ip4_pol_w=(22, "Layer"),
            pol_headcount=(24, "uint"),
            ip_emb_w=(25, "Layer"),
            ip_emb_b=(26, "Layer"),
            encoder=(27, "EncoderLayer*"),
            headcount=(28, "uint"),
            ip_val_w=(29, "Layer"),
            ip_val_b=(30, "Layer"),
            ip_mov_w=(31, "Layer"),
            ip_mov_b=(32, "Layer"),
            ip_mult_gate=(33, "Layer"),
            ip_add_gate=(34, "Layer"),
            smolgen_w=(35, "Layer"),
            ip_emb_preproc_w=(37, "Layer"),
            ip_emb_preproc_b=(38, "Layer"),
            ip_emb_ln_gammas=(39, "Layer"),
            ip_emb_ln_betas=(40, "Layer"),
            ip_emb_ffn=(41, "FFN"),
            ip_emb_ffn_ln_gammas=(42, "Layer"),
            ip_emb_ffn_ln_betas=(43, "Layer"),
            value_heads=(44, "ValueHeads"),
            policy_heads=(45, "PolicyHeads"),
        ),
    }
)


@dataclass(slots=True)
class Record:
    """One message: its place in the file, and the values of its fields by name.

    The getters give protobuf's default where a field is absent.
    """

    path: str
    values: dict[str, list[object]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def _last(self, name: str, default: _T) -> _T:
        found = self.values.get(name, [default])[-1]
        if not isinstance(found, type(default)):
            raise TypeError(f"{self.path}.{name} is a {type(found).__name__}")
        return found

    def number(self, name: str) -> int:
        """An unsigned number or enum, 0 where absent."""
        return self._last(name, 0)

    def real(self, name: str) -> float:
        """A float, 0.0 where absent."""
        return self._last(name, 0.0)

    def text(self, name: str) -> str:
        """A string, empty where absent."""
        return self._last(name, "")

    def raw(self, name: str) -> memoryview:
        """Bytes, none where absent."""
        return self._last(name, memoryview(b""))

    def message(self, name: str) -> Record:
        """A message; one without fields where absent."""
        return self._last(name, Record(self.within(name)))

    def messages(self, name: str) -> list[Record]:
        """A repeated message."""
        return [each for each in self.values.get(name, []) if isinstance(each, Record)]

    def within(self, name: str) -> str:
        """The place of a field."""
        return f"{self.path}.{name}" if self.path else name


def parse(data: memoryview) -> Record:
    """A weight file's bytes (decompressed) as records; values are views of ``data``.

    Raises:
        SubjectError: no protobuf message, or not lc0's.
    """
    try:
        return _parse("Net", data, "", wire.FieldBudget())
    except wire.WireError as error:
        raise SubjectError(f"not an lc0 weight file: {error}") from error


def _parse(message: str, data: memoryview, path: str, budget: wire.FieldBudget) -> Record:
    known = MESSAGES[message]
    record = Record(path)
    for number, wire_type, value in wire.fields(data, budget):
        spec = known.get(number)
        if spec is None:
            continue
        place = record.within(spec.name)
        if wire_type != _WIRE_TYPES.get(spec.kind, wire.LENGTH):
            raise wire.WireError(f"{place} has the wire type {wire_type}")
        seen = record.values.setdefault(spec.name, [])
        if seen and not spec.repeated:
            raise wire.WireError(f"{place} is given twice")
        if spec.repeated:
            place = f"{place}[{len(seen)}]"
        seen.append(_value(spec.kind, value, place, budget))
    return record


def _value(kind: str, value: wire.Value, place: str, budget: wire.FieldBudget) -> object:
    if isinstance(value, int):
        return value
    if kind in MESSAGES:
        return _parse(kind, value, place, budget)
    if kind == "fixed32":
        return wire.fixed32(value)
    if kind == "float":
        return wire.float32(value)
    if kind == "text":
        return bytes(value).decode("utf-8", errors="replace")
    return value
