"""The one error of this room."""


class PointInTimeError(ValueError):
    """A retrieval that cannot be answered: names the view, the column, what was found, and the remedy."""


def rewritten(where: str) -> PointInTimeError:
    """The error for files that were replaced between the first and the last look at them."""
    return PointInTimeError(
        f"{where}: its rows were written anew while they were read. Retrieve again, or keep them as a Delta table, of "
        f"which one version is read to the end."
    )
