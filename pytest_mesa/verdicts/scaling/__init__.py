"""Growth with scale: how sharp it is, which curve predicts it, and what single seeds do."""
