"""What can be wrong with a ledger."""


class LedgerError(Exception):
    """The ledger can't be written or read; callers end with exit status 12.

    The message says which file, why, and what to do.
    """

    status = 12


class RecordError(ValueError):
    """A record that may not enter a ledger; the message names the field."""
