"""Errors of this room."""

from mlops_platform.errors import PlatformError


class EvaluationError(PlatformError):
    """A dataset or checkpoint on which no evaluation can be made."""
