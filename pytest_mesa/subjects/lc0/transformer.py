"""A weight file's transformer: embedding and encoder blocks, sizes checked."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.activations import FUNCTIONS, Function
from pytest_mesa.subjects.lc0.encoders import (
    PIECES,
    Attention,
    EncoderBlock,
    FeedForward,
    Smolgen,
    SquareEmbedding,
)
from pytest_mesa.subjects.lc0.formats import Embedding, NetFormat
from pytest_mesa.subjects.lc0.layers import Layers, dense, parameter
from pytest_mesa.subjects.lc0.messages import Record
from pytest_mesa.subjects.lc0.planes import PLANES

OLD_EPSILON, NEW_EPSILON = 1e-6, 1e-3  # of layer norms: without and with dense embedding
SMOLGEN_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class EncoderStyle:
    """What a stack of encoders has in common."""

    width: int
    heads: int
    alpha: float
    epsilon: float
    smolgen_activation: Function
    activation: Function


def build_encoders(
    records: list[Record], style: EncoderStyle, pairs: nn.Linear | None, layers: Layers
) -> list[EncoderBlock]:
    """A stack of blocks; ``pairs`` is smolgen's map that all share.

    Raises:
        SubjectError: a part missing or of the wrong size.
    """
    return [_encoder(record, style, pairs, layers) for record in records]


def smolgen_pairs(weights: Record, layers: Layers) -> nn.Linear | None:
    """Smolgen's shared map from a head's code to its 64 × 64 logits."""
    if "smolgen_w" not in weights:
        return None
    code = layers.size(weights, "smolgen_w") // (64 * 64)
    return dense(layers.tensor(weights, "smolgen_w", 64 * 64, code))


def _encoder(
    record: Record, style: EncoderStyle, pairs: nn.Linear | None, layers: Layers
) -> EncoderBlock:
    mha = record.message("mha")
    if any(name in mha for name in ("rpe_q", "rpe_k", "rpe_v")):
        raise SubjectError(f"{mha.path} has relative position encodings, which are not supported")
    query = layers.linear(mha, "q", style.width)
    inner = query.out_features
    if style.heads < 1 or inner % style.heads:
        raise SubjectError(f"{mha.path}: {inner} channels do not part into {style.heads} heads")
    attention = Attention(
        query,
        layers.linear(mha, "k", style.width, inner),
        layers.linear(mha, "v", style.width, inner),
        layers.linear(mha, "dense", inner, style.width),
        _smolgen(mha, style, pairs, layers) if "smolgen" in mha else None,
        style.heads,
    )
    return EncoderBlock(
        attention,
        layers.norm(record, "ln1", style.width, style.epsilon),
        feed_forward(record.message("ffn"), style.width, style.activation, layers),
        layers.norm(record, "ln2", style.width, style.epsilon),
        style.alpha,
    )


def feed_forward(record: Record, width: int, activation: Function, layers: Layers) -> FeedForward:
    """The two maps of an FFN message."""
    first = layers.linear(record, "dense1", width)
    return FeedForward(
        first, layers.linear(record, "dense2", first.out_features, width), activation
    )


def _smolgen(mha: Record, style: EncoderStyle, pairs: nn.Linear | None, layers: Layers) -> Smolgen:
    record = mha.message("smolgen")
    if pairs is None:
        raise SubjectError("weights.smolgen_w is missing")
    channels = layers.size(record, "compress") // style.width
    compress = dense(layers.tensor(record, "compress", channels, style.width))
    first = layers.linear(record, "dense1", 64 * channels)
    second = layers.linear(record, "dense2", first.out_features, style.heads * pairs.in_features)
    return Smolgen(
        compress,
        first,
        layers.norm(record, "ln1", first.out_features, SMOLGEN_EPSILON),
        second,
        layers.norm(record, "ln2", second.out_features, SMOLGEN_EPSILON),
        pairs,
        style.heads,
        style.smolgen_activation,
    )


def build_transformer(
    weights: Record, form: NetFormat, layers: Layers
) -> tuple[SquareEmbedding, list[EncoderBlock], int]:
    """Embedding, blocks and width.

    Raises:
        SubjectError: a part missing or of the wrong size, or a tower before the transformer.
    """
    records = weights.messages("encoder")
    if "residual" in weights:
        raise SubjectError("a residual tower followed by a transformer is not supported")
    width = layers.size(weights, "ip_emb_b")
    alpha = (2.0 * max(len(records), 1)) ** -0.25
    new = form.embedding is Embedding.PE_DENSE
    style = EncoderStyle(
        width=width,
        heads=weights.number("headcount"),
        alpha=alpha,
        epsilon=NEW_EPSILON if new else OLD_EPSILON,
        smolgen_activation=FUNCTIONS[form.smolgen_activation],
        activation=FUNCTIONS[form.ffn_activation],
    )
    embedding = _embedding(weights, form, style, layers)
    blocks = build_encoders(records, style, smolgen_pairs(weights, layers), layers)
    return embedding, blocks, width


def _embedding(
    weights: Record, form: NetFormat, style: EncoderStyle, layers: Layers
) -> SquareEmbedding:
    width, new = style.width, form.embedding is Embedding.PE_DENSE
    place, features = None, 64
    if new:
        features = layers.size(weights, "ip_emb_preproc_b") // 64
        place = layers.linear(weights, "ip_emb_preproc", 64 * PIECES, 64 * features)
    embed = layers.linear(weights, "ip_emb", PLANES + features, width)
    gate = None
    if layers.size(weights, "ip_mult_gate") and layers.size(weights, "ip_add_gate"):
        gain, offset = (
            parameter(layers.tensor(weights, name, width, 64).mT)
            for name in ("ip_mult_gate", "ip_add_gate")
        )
        gate = (gain, offset)
    norm, mlp, mlp_norm = None, None, None
    if new:
        norm = layers.norm(weights, "ip_emb_ln", width, NEW_EPSILON)
        mlp = feed_forward(weights.message("ip_emb_ffn"), width, style.activation, layers)
        mlp_norm = layers.norm(weights, "ip_emb_ffn_ln", width, NEW_EPSILON)
    activation = FUNCTIONS[form.activation]
    return SquareEmbedding(place, embed, norm, gate, mlp, mlp_norm, activation, style.alpha)
