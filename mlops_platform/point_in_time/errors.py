"""The one error of this room."""


class PointInTimeError(ValueError):
    """A retrieval that cannot be answered: names the view, the column, what was found, and the remedy."""


def rewritten(where: str) -> PointInTimeError:
    """The error for files that were replaced after the retrieval had looked at them."""
    return PointInTimeError(
        f"{where}: its rows were written anew since the retrieval was made. Make it again, or keep them as a Delta "
        f"table, of which one version is read to the end."
    )
