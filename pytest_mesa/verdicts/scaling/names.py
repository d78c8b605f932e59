"""The planted ladders' names, apart from what draws them: planning takes no numpy."""

STEP, SMOOTH, BIMODAL, THRESHOLD = (
    *("planted-step", "planted-smooth"),
    *("planted-bimodal", "planted-threshold"),
)
PLANTS = (STEP, SMOOTH, BIMODAL, THRESHOLD)
