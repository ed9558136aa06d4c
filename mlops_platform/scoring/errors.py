"""Errors of those who ask for scores."""

from mlops_platform.errors import PlatformError


class InputError(PlatformError):
    """Rows that a model cannot read: a column is missing or of another type."""
