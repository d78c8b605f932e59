"""The fifteen game: take numbers 1 to 9 in turn; three of yours that sum to 15 win.

The magic square maps it onto tic-tac-toe move by move, so both have one game tree.
"""

from __future__ import annotations

import numpy as np

# Rows, columns and diagonals of the magic square each sum to 15, and no other three numbers do.
NUMBER_OF = np.array([2, 7, 6, 9, 5, 1, 4, 3, 8])
CELL_OF = {int(number): cell for cell, number in enumerate(NUMBER_OF)}
