"""What planning a ladder takes, apart from what computes with it: planning takes no numpy."""

LEAST_RUNGS = 6
LEAST_SEEDS = 3  # of each size

STEP, SMOOTH, BIMODAL, THRESHOLD = (
    *("planted-step", "planted-smooth"),
    *("planted-bimodal", "planted-threshold"),
)
PLANTS = (STEP, SMOOTH, BIMODAL, THRESHOLD)
