"""What a sample says of all rows."""


def upper_bound(mismatched: int, rows: int, *, confidence: float = 0.95) -> float | None:
    """Upper confidence bound of a rate, exact for rows drawn independently (C. Clopper, E. Pearson, 1934, one-sided).

    Without a mismatch it is about 3/rows, the rule of three.

    Args:
        mismatched: How many rows of the sample differ.
        rows: How many the sample has.
        confidence: Of the bound.

    Returns:
        A share from 0 to 1; None without rows.
    """
    if rows == 0:
        return None
    if mismatched == rows:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(mismatched + 1, rows - mismatched, confidence))
