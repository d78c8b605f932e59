"""A weight file's records to a net."""

from __future__ import annotations

from torch import nn

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0 import heads
from pytest_mesa.subjects.lc0.activations import FUNCTIONS
from pytest_mesa.subjects.lc0.formats import (
    Activation,
    MovesLeft,
    NetFormat,
    Policy,
    Value,
)
from pytest_mesa.subjects.lc0.layers import Layers, dense
from pytest_mesa.subjects.lc0.messages import Record
from pytest_mesa.subjects.lc0.moves import CONVOLUTION_PLANES, MOVES
from pytest_mesa.subjects.lc0.net import Lc0Net
from pytest_mesa.subjects.lc0.tower import build_tower
from pytest_mesa.subjects.lc0.transformer import (
    OLD_EPSILON,
    EncoderStyle,
    build_encoders,
    build_transformer,
    smolgen_pairs,
)

# The heads that files may hold, by the names that lc0's options use.
POLICY_HEAD, VALUE_HEAD = "vanilla", "winner"
POLICY_HEADS = {
    "vanilla": "vanilla",
    "optimistic": "optimistic_st",
    "soft": "soft",
    "opponent": "opponent",
}
VALUE_HEADS = {"winner": "winner", "q": "q", "st": "st"}


class Builder:
    """Builds the parts of one net.

    Raises:
        SubjectError: a part that is missing, of the wrong size, or not supported.
    """

    def __init__(self, weights: Record, form: NetFormat, encoding: int) -> None:
        self.weights = weights
        self.form = form
        self.layers = Layers(encoding)
        self.activation = FUNCTIONS[form.activation]
        self.width = 0

    def net(self, policy_head: str, value_head: str) -> Lc0Net:
        """The net with the heads of these names."""
        entry: nn.Module
        blocks: list[nn.Module]
        if self.form.attention:
            entry, encoders, self.width = build_transformer(self.weights, self.form, self.layers)
            blocks = [*encoders]
        else:
            entry, residual, self.width = build_tower(self.weights, self.form, self.layers)
            blocks = [*residual]
        if not blocks:
            raise SubjectError("the net has no blocks")
        moves_left = self._moves_left() if self.form.moves_left is MovesLeft.V1 else None
        policy, value = self._policy(policy_head), self._value(value_head)
        return Lc0Net(entry, blocks, self.width, policy, value, moves_left)

    def _flatten(self, record: Record, convolution: str, embedding: str) -> heads.Flatten:
        """A map at each square: the tower's 1 × 1 convolution or the transformer's dense one."""
        attention = self.form.attention
        embed = (
            self.layers.linear(record, embedding, self.width)
            if attention
            else self.layers.pointwise(record, convolution, self.width)
        )
        return heads.Flatten(embed, self.activation, squares_first=attention)

    def _value(self, name: str) -> heads.ValueHead:
        record = self.weights
        if "value_heads" in record:
            record = _named(
                record.message("value_heads"), name, {each: each for each in VALUE_HEADS}
            )
        elif name != VALUE_HEAD:
            raise SubjectError(f"the net has one value head, and no {name!r}")
        flatten = self._flatten(record, "value", "ip_val")
        hidden = self.layers.linear(record, "ip1_val", 64 * flatten.embed.out_features)
        outputs = 3 if self.form.value is Value.WDL else 1
        out = self.layers.linear(record, "ip2_val", hidden.out_features, outputs)
        return heads.ValueHead(flatten, hidden, out, self.activation)

    def _moves_left(self) -> heads.MovesLeftHead:
        flatten = self._flatten(self.weights, "moves_left", "ip_mov")
        hidden = self.layers.linear(self.weights, "ip1_mov", 64 * flatten.embed.out_features)
        out = self.layers.linear(self.weights, "ip2_mov", hidden.out_features, 1)
        return heads.MovesLeftHead(flatten, hidden, out, self.activation)

    def _policy(self, name: str) -> nn.Module:
        record, shared = self.weights, self.weights
        if "policy_heads" in record:
            every = record.message("policy_heads")
            record = _named(every, name, POLICY_HEADS)
            if "ip_pol_w" in record:
                shared = record
            elif "ip_pol_w" in every:
                shared = every
        elif name != POLICY_HEAD:
            raise SubjectError(f"the net has one policy head, and no {name!r}")
        if self.form.policy is Policy.ATTENTION:
            return self._attention_policy(record, shared)
        if self.form.policy is Policy.CONVOLUTION:
            first = self.layers.convolution(record, "policy1", self.width, 3, self.width)
            second = self.layers.convolution(record, "policy", self.width, 3)
            if second.out_channels < CONVOLUTION_PLANES:
                raise SubjectError(
                    f"{record.within('policy')} has {second.out_channels} planes, "
                    f"expected {CONVOLUTION_PLANES} or more"
                )
            return heads.ConvolutionPolicy(first, second, self.activation)
        flatten = self._flatten(record, "policy", "ip_pol")
        out = self.layers.linear(record, "ip_pol", 64 * flatten.embed.out_features, len(MOVES))
        return heads.ClassicalPolicy(flatten, out)

    def _attention_policy(self, record: Record, shared: Record) -> heads.AttentionPolicy:
        # With a tower this head has activations of its own, whatever the file declares.
        attention = self.form.attention
        activation = self.activation if attention else FUNCTIONS[Activation.SELU]
        embed = self.layers.linear(shared, "ip_pol", self.width)
        style = EncoderStyle(
            width=embed.out_features,
            heads=record.number("pol_headcount"),
            alpha=1.0,
            epsilon=OLD_EPSILON,
            smolgen_activation=FUNCTIONS[
                self.form.smolgen_activation if attention else Activation.NONE
            ],
            activation=FUNCTIONS[self.form.ffn_activation if attention else Activation.SELU],
        )
        pairs = smolgen_pairs(self.weights, self.layers)
        blocks = build_encoders(record.messages("pol_encoder"), style, pairs, self.layers)
        query = self.layers.linear(record, "ip2_pol", style.width)
        inner = query.out_features
        return heads.AttentionPolicy(
            embed,
            activation,
            [*blocks],
            query,
            self.layers.linear(record, "ip3_pol", style.width, inner),
            dense(self.layers.tensor(record, "ip4_pol_w", 4, inner)),
        )


def _named(every: Record, name: str, known: dict[str, str]) -> Record:
    if known.get(name) not in every.values:
        there = ", ".join(each for each, field in known.items() if field in every) or "none"
        raise SubjectError(f"the net has no {every.path} {name!r}; there are {there}")
    return every.message(known[name])
