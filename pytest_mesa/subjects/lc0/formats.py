"""What a weight file declares about its net, older files' omissions filled in as lc0 does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.messages import Record

MAGIC = 0x1C0
NEWEST = (0, 33)  # the lc0 whose formats this loader knows
# Files that carry this instead of a version are for any version.
ANY_VERSION = (97, 98, 99)
LINEAR16 = 1


class InputFormat(IntEnum):
    """How a position becomes 112 planes."""

    CLASSICAL_112_PLANE = 1
    CASTLING_PLANE = 2
    CANONICALIZATION = 3
    CANONICALIZATION_HECTOPLIES = 4
    CANONICALIZATION_V2 = 5
    CANONICALIZATION_HECTOPLIES_ARMAGEDDON = 132
    CANONICALIZATION_V2_ARMAGEDDON = 133

    @property
    def canonical(self) -> bool:
        """Whether symmetric positions are turned to one of them."""
        return self >= InputFormat.CANONICALIZATION

    @property
    def hectoplies(self) -> bool:
        """Whether the 50-move clock counts hundreds of plies, not plies."""
        return self >= InputFormat.CANONICALIZATION_HECTOPLIES

    @property
    def armageddon(self) -> bool:
        """Whether the side to move has a plane beside the canonical ones."""
        return self >= InputFormat.CANONICALIZATION_HECTOPLIES_ARMAGEDDON

    @property
    def only_repeats(self) -> bool:
        """Whether history holds repeated positions alone."""
        return self in (
            InputFormat.CANONICALIZATION_V2,
            InputFormat.CANONICALIZATION_V2_ARMAGEDDON,
        )


class Network(IntEnum):
    """Kinds of body, as files number them."""

    CLASSICAL = 1
    SE = 2
    CLASSICAL_WITH_HEADFORMAT = 3
    SE_WITH_HEADFORMAT = 4
    ONNX = 5
    ATTENTIONBODY_WITH_HEADFORMAT = 6
    ATTENTIONBODY_WITH_MULTIHEADFORMAT = 7
    AB_LEGACY_WITH_MULTIHEADFORMAT = 134


class Policy(IntEnum):
    """Kinds of policy head."""

    CLASSICAL = 1
    CONVOLUTION = 2
    ATTENTION = 3


class Value(IntEnum):
    """Kinds of value head."""

    CLASSICAL = 1
    WDL = 2


class MovesLeft(IntEnum):
    """Whether there is a moves-left head."""

    NONE = 0
    V1 = 1


class Activation(IntEnum):
    """Activation functions, as files number them."""

    DEFAULT = 0
    MISH = 1
    RELU = 2
    NONE = 3
    TANH = 4
    SIGMOID = 5
    SELU = 6
    SWISH = 7
    RELU_2 = 8


class DefaultActivation(IntEnum):
    """The activation wherever no other is named."""

    RELU = 0
    MISH = 1


class Embedding(IntEnum):
    """How squares tell their place to the transformer body."""

    NONE = 0
    PE_MAP = 1
    PE_DENSE = 2


@dataclass(frozen=True, slots=True)
class NetFormat:
    """A net's format; ``attention`` tells the transformer body from the residual tower."""

    input: InputFormat
    attention: bool
    policy: Policy
    value: Value
    moves_left: MovesLeft
    activation: Activation
    smolgen_activation: Activation
    ffn_activation: Activation
    embedding: Embedding


_E = TypeVar("_E", bound=IntEnum)


def _known(kinds: type[_E], record: Record, name: str) -> _E:
    number = record.number(name)
    try:
        return kinds(number)
    except ValueError:
        among = ", ".join(f"{kind.value} {kind.name}" for kind in kinds)
        raise SubjectError(
            f"{record.within(name)} is {number}, which this loader does not know; it knows {among}"
        ) from None


def check_header(net: Record) -> None:
    """Refuse what is no weight file, is for a newer lc0, or holds another kind of net.

    Raises:
        SubjectError: with what was found and what was expected.
    """
    if "magic" not in net or net.number("magic") != MAGIC:
        raise SubjectError(
            f"not an lc0 weight file: its magic number is {net.number('magic'):#x}, not {MAGIC:#x}"
        )
    version = net.message("min_version")
    wanted = (version.number("major"), version.number("minor"), version.number("patch"))
    if wanted[:2] > NEWEST and wanted != ANY_VERSION:
        raise SubjectError(
            f"the net is for lc0 {'.'.join(map(str, wanted))} or newer; "
            f"this loader knows formats up to {'.'.join(map(str, NEWEST))}"
        )
    if "onnx_model" in net:
        raise SubjectError("the file holds an ONNX model; only lc0's own weights can be loaded")
    if "weights" not in net:
        raise SubjectError("the file holds no weights")


def read_format(net: Record) -> NetFormat:
    """A checked file's declared format.

    Raises:
        SubjectError: a format that this loader does not support, by name.
    """
    declared = net.message("format").message("network_format")
    weights = net.message("weights")
    if not declared.values:  # before formats were declared there was only one
        declared = Record(declared.path, {"input": [1], "network": [Network.CLASSICAL]})
    network = _known(Network, declared, "network")
    if network is Network.ONNX:
        raise SubjectError("the file holds an ONNX model; only lc0's own weights can be loaded")
    headless = network in (Network.CLASSICAL, Network.SE)
    # Transformer bodies were first written under the tower's number.
    disguised = network is Network.SE_WITH_HEADFORMAT and bool(weights.messages("encoder"))
    attention = disguised or network >= Network.ATTENTIONBODY_WITH_HEADFORMAT
    default = Activation[_known(DefaultActivation, declared, "default_activation").name]
    smolgen = _known(Activation, declared, "smolgen_activation") or default
    ffn = _known(Activation, declared, "ffn_activation") or default
    if disguised and "smolgen_w" in weights:
        smolgen, ffn = Activation.SWISH, Activation.RELU_2
    found = NetFormat(
        input=_known(InputFormat, declared, "input"),
        attention=attention,
        policy=Policy.CLASSICAL if headless else _known(Policy, declared, "policy"),
        value=Value.CLASSICAL if headless else _known(Value, declared, "value"),
        moves_left=_known(MovesLeft, declared, "moves_left"),
        activation=default,
        smolgen_activation=smolgen,
        ffn_activation=ffn,
        embedding=_embedding(network, declared, weights) if attention else Embedding.NONE,
    )
    if attention and found.policy is not Policy.ATTENTION:
        raise SubjectError(f"a transformer body with a {found.policy.name} policy is not supported")
    return found


def _embedding(network: Network, declared: Record, weights: Record) -> Embedding:
    multihead = network in (
        Network.ATTENTIONBODY_WITH_MULTIHEADFORMAT,
        Network.AB_LEGACY_WITH_MULTIHEADFORMAT,
    )
    if not multihead and "policy_heads" in weights and "value_heads" in weights:
        return Embedding.PE_DENSE
    if not multihead and "input_embedding" not in declared:
        return Embedding.PE_MAP
    embedding = _known(Embedding, declared, "input_embedding")
    if embedding is Embedding.NONE:
        raise SubjectError("a transformer body without input embedding is not supported")
    return embedding
