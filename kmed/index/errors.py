"""What goes wrong with an index, in the words of the person who can mend it."""


class VectorIndexError(ValueError):
    """An index can't be made, read or changed; the message tells why and what to do."""


class IndexBusyError(VectorIndexError):
    """Another process is writing to the index."""
