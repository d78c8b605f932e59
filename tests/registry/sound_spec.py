"""A valid spec to spoil."""

from __future__ import annotations

SPEC = """\
prediction: knapsack-no-dp
title: Knapsack solvers do not rediscover dynamic programming
claim: >-
  A decoder trained on small knapsacks does not carry the table.
tags: [knapsack]
subjects:
  - recipe: knapsack-decoder
    seeds: 5
    options: {width: 64}
competence: {metric: accuracy, at_least: 0.9}
experiment:
  kind: causal-state
  task: {kind: knapsack, items: 5, weights: [1, 5], values: [1, 5], capacity: [3, 10]}
  algorithm: prefix-dp
  states: [2, 3]
  rivals: [greedy-ratio, raw-items]
controls:
  must_detect: [{compiled: prefix-dp}]
  must_not_detect: [{recipe: knapsack-decoder, untrained: true}]
verdict:
  estimand: interchange-accuracy
  quantifier: every
  predicted: {below: 0.25}
  refuted: {above: 0.5}
  alpha: 0.05
  budget: 4000
"""
