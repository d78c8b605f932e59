"""The 0/1 knapsack: instances, exact algorithms with their states, heuristics, tokens."""
