"""Board games: rules, clean search, notation, prompts, and the sets that engines made."""
