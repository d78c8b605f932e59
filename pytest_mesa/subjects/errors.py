"""What can go wrong with a subject through the user's doing."""


class SubjectError(ValueError):
    """A subject that does not exist, cannot be loaded, or does not fit the experiment."""
