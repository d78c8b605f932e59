"""Nets of random weights in every shape that lc0's files take."""

from __future__ import annotations

from typing import Any

import numpy as np

Weights = dict[str, Any]

SMOL = 6  # width of smolgen's code for a head


class Draw:
    """Random weights, scaled so that outputs neither vanish nor saturate."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def dense(self, outputs: int, inputs: int, gain: float = 1.4) -> np.ndarray:
        return self.rng.normal(0, gain / inputs**0.5, (outputs, inputs)).astype(np.float32)

    def bias(self, size: int) -> np.ndarray:
        return self.rng.normal(0, 0.1, size).astype(np.float32)

    def positive(self, size: int) -> np.ndarray:
        return self.rng.uniform(0.5, 1.5, size).astype(np.float32)

    def conv(self, outputs: int, inputs: int, kernel: int, norm: str = "full") -> Weights:
        """``norm``: full, old (no gamma and beta, as in the first files) or none."""
        block: Weights = {"weights": self.dense(outputs, inputs * kernel**2, gain=1.0)}
        if norm == "none":
            return block | {"biases": self.bias(outputs)}
        block |= {"bn_means": self.bias(outputs), "bn_stddivs": self.positive(outputs)}
        if norm == "full":
            block |= {"bn_gammas": self.positive(outputs), "bn_betas": self.bias(outputs)}
        return block

    def linear(self, name: str, outputs: int, inputs: int) -> Weights:
        return {f"{name}_w": self.dense(outputs, inputs), f"{name}_b": self.bias(outputs)}

    def norm(self, name: str, width: int) -> Weights:
        return {f"{name}_gammas": self.positive(width), f"{name}_betas": self.bias(width)}

    def encoder(self, width: int, inner: int, heads: int, *, smolgen: bool) -> Weights:
        mha: Weights = {}
        for name in "qkv":
            mha |= self.linear(name, inner, width)
        mha |= self.linear("dense", width, inner)
        if smolgen:
            mha["smolgen"] = {
                "compress": self.dense(3, width),
                **self.linear("dense1", 10, 3 * 64),
                **self.norm("ln1", 10),
                **self.linear("dense2", heads * SMOL, 10),
                **self.norm("ln2", heads * SMOL),
            }
        ffn = self.linear("dense1", 2 * width, width) | self.linear("dense2", width, 2 * width)
        return {"mha": mha, **self.norm("ln1", width), "ffn": ffn, **self.norm("ln2", width)}

    def attention_policy(self, width: int, *, encoders: int, smolgen: bool, own: str) -> Weights:
        """``own``: how this message names its embedding ("" where another holds it)."""
        head = self.linear(own, 12, width) if own else {}
        if encoders:
            stack = [self.encoder(12, 8, 2, smolgen=smolgen) for _ in range(encoders)]
            head |= {"pol_encoder": stack, "pol_headcount": 2}
        head |= self.linear("ip2_pol", 16, 12) | self.linear("ip3_pol", 16, 12)
        return head | {"ip4_pol_w": self.dense(4, 16)}

    def moves_left(self, inputs: int) -> Weights:
        # The last bias keeps the head's relu open.
        out = self.linear("ip2_mov", 1, 10) | {"ip2_mov_b": np.array([5.0])}
        return self.linear("ip1_mov", 10, 64 * inputs) | out

    def value(self, outputs: int, inputs: int) -> Weights:
        return self.linear("ip1_val", 20, 64 * inputs) | self.linear("ip2_val", outputs, 20)


def tower(
    seed: int,
    *,
    policy: str = "convolution",
    wdl: bool = True,
    se: bool = True,
    moves_left: bool = False,
    norm: str = "full",
    channels: int = 24,
    blocks: int = 3,
    policy_encoders: int = 0,
) -> Weights:
    """A residual tower with its heads."""
    draw = Draw(seed)
    weights: Weights = {"input": draw.conv(channels, 112, 3, norm)}
    weights["residual"] = []
    for _ in range(blocks):
        block = {
            "conv1": draw.conv(channels, channels, 3, norm),
            "conv2": draw.conv(channels, channels, 3, norm),
        }
        if se:
            block["se"] = {
                "w1": draw.dense(8, channels),
                "b1": draw.bias(8),
                "w2": draw.dense(2 * channels, 8),
                "b2": draw.bias(2 * channels),
            }
        weights["residual"].append(block)
    if policy == "classical":
        weights["policy"] = draw.conv(4, channels, 1, norm)
        weights |= draw.linear("ip_pol", 1858, 4 * 64)
    elif policy == "convolution":
        weights["policy1"] = draw.conv(channels, channels, 3, norm)
        weights["policy"] = draw.conv(80, channels, 3, "none")
    else:
        weights |= draw.attention_policy(
            channels, encoders=policy_encoders, smolgen=False, own="ip_pol"
        )
    weights |= {"value": draw.conv(4, channels, 1, norm)} | draw.value(3 if wdl else 1, 4)
    if moves_left:
        weights["moves_left"] = draw.conv(3, channels, 1, norm)
        weights |= draw.moves_left(3)
    return weights


def transformer(
    seed: int,
    *,
    dense: bool = False,
    multihead: bool = False,
    smolgen: bool = True,
    gating: bool = True,
    policy_encoders: int = 0,
    wdl: bool = True,
    moves_left: bool = True,
    width: int = 16,
    heads: int = 4,
    blocks: int = 3,
) -> Weights:
    """A transformer body with its heads; ``dense`` tells the newer input embedding."""
    draw = Draw(seed)
    weights: Weights = {}
    place = 5 if dense else 64
    if dense:
        weights |= draw.linear("ip_emb_preproc", 64 * place, 64 * 12)
    weights |= draw.linear("ip_emb", width, 112 + place)
    if gating:
        weights["ip_mult_gate"] = draw.positive(64 * width)
        weights["ip_add_gate"] = draw.bias(64 * width)
    if dense:
        weights |= draw.norm("ip_emb_ln", width) | draw.norm("ip_emb_ffn_ln", width)
        weights["ip_emb_ffn"] = draw.linear("dense1", 24, width) | draw.linear("dense2", width, 24)
    weights["encoder"] = [draw.encoder(width, 24, heads, smolgen=smolgen) for _ in range(blocks)]
    weights["headcount"] = heads
    if smolgen:
        weights["smolgen_w"] = draw.dense(64 * 64, SMOL)
    outputs = 3 if wdl else 1
    every: Weights = {"encoders": policy_encoders, "smolgen": smolgen}
    if multihead:
        weights["policy_heads"] = draw.linear("ip_pol", 12, width) | {
            "vanilla": draw.attention_policy(width, **every, own=""),
            "optimistic_st": draw.attention_policy(width, **every, own="ip_pol"),
        }
        weights["value_heads"] = {
            name: draw.linear("ip_val", 4, width) | draw.value(outputs, 4)
            for name in ("winner", "q")
        }
    else:
        weights |= draw.attention_policy(width, **every, own="ip_pol")
        weights |= draw.linear("ip_val", 4, width) | draw.value(outputs, 4)
    if moves_left:
        weights |= draw.linear("ip_mov", 3, width)
        weights |= draw.moves_left(3)
    return weights
