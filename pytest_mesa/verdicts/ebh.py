"""Evidence combined: over the parts of one claim, and over the claims of a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def partial_conjunction(e_values: Sequence[float], k: int) -> float:
    """An e-value for the claim that at least ``k`` of the statements hold.

    ``e_values[i]`` is an e-value against the null of statement i. The claim's null says that
    at least r = n - k + 1 of those nulls are true; the mean of the r smallest e-values is at
    most the mean over the true nulls, whose expectation is at most 1, whatever the dependence
    between them. ``k = n`` gives the minimum, ``k = 1`` the mean (Vovk & Wang 2021).

    Raises:
        ValueError: k is not between 1 and the number of statements.
    """
    if not 1 <= k <= len(e_values):
        raise ValueError(f"cannot ask for {k} of {len(e_values)} statements")
    smallest = sorted(e_values)[: len(e_values) - k + 1]
    # Divided first, since the sum of capped e-values may pass the largest float.
    return sum(e / len(smallest) for e in smallest)


def e_bh(e_values: Mapping[str, float], alpha: float) -> frozenset[str]:
    """The names whose statements survive at false discovery rate ``alpha``.

    Reject the k largest e-values for the largest k whose k-th largest is at least
    n / (alpha k). Valid under any dependence (Wang & Ramdas 2022). A prediction without a
    conclusion counts among the n, with an e-value of at most 1.

    Raises:
        ValueError: alpha outside (0, 1), or a negative e-value or NaN.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    for name, e in e_values.items():
        if not e >= 0:
            raise ValueError(f"{name}: {e} is no e-value")
    ranked = sorted(e_values, key=lambda name: -e_values[name])
    n = len(ranked)
    passed = [k for k in range(1, n + 1) if k * e_values[ranked[k - 1]] * alpha >= n]
    return frozenset(ranked[: max(passed, default=0)])
