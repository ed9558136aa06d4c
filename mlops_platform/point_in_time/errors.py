"""The one error of this room."""


class PointInTimeError(ValueError):
    """A retrieval that cannot be answered: names the view, the column, what was found, and the remedy."""
