"""What can go wrong with a subject through the user's doing."""

from pytest_mesa._explained import CellError


class SubjectError(CellError, ValueError):
    """A subject that does not exist, cannot be loaded, or does not fit the experiment.

    ``at`` leads from the top of the spec to the entry at fault, where that is known.
    """

    def __init__(self, message: str, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.at = at


class UnsuitedError(SubjectError):
    """A released model that reads something else than the experiment writes: nothing is wrong.

    A chess net has no words to be asked in, and a language model has no board.
    """
