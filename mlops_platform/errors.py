"""Errors of the user: each says what was required, what was found, and what to do."""


class PlatformError(Exception):
    """A mistake that the person at the keyboard can mend.

    Attributes:
        required: What the platform needed.
        found: What it met instead.
        remedy: What to do about it.
    """

    def __init__(self, *, required: str, found: str, remedy: str) -> None:
        self.required, self.found, self.remedy = required, found, remedy
        super().__init__(f"Required: {required}\nFound: {found}\nRemedy: {remedy}")


class SpecError(PlatformError):
    """A declaration that cannot work, found while it is being declared.

    Attributes:
        field: The field of the declaration, dotted, as the user wrote it.
        value: The value found there.
    """

    def __init__(self, field: str, value: object, *, required: str, remedy: str) -> None:
        self.field, self.value = field, value
        super().__init__(required=f"{field}: {required}", found=f"{field}={value!r}", remedy=remedy)


class MissingArtifactError(PlatformError):
    """An artifact or a station's result that should be in the home is not there."""


class CorruptArtifactError(PlatformError):
    """Bytes in the home do not have the digest that their manifest says."""


class IngestError(PlatformError):
    """A landing that cannot be ingested at all, such as one that holds no file of a table."""


class StoreError(PlatformError):
    """An object store that does not answer, or refuses; the error shows no credentials."""


class TrainingError(PlatformError):
    """A training program that ended without leaving a whole checkpoint.

    Attributes:
        check: Name of the checkpoint's check that it would have failed, if any.
    """

    def __init__(self, *, required: str, found: str, remedy: str, check: str | None = None) -> None:
        self.check = check
        super().__init__(required=required, found=found, remedy=remedy)


class OutOfMemoryError(TrainingError):
    """A training program whose memory ran out, so that smaller pieces of a batch may well fit."""


class KilledError(TrainingError):
    """A training program that a signal ended, so that the same job may well succeed."""


RESUME_ME = 75
"""Exit code EX_TEMPFAIL of a program that was asked to stop: it is saved, and the same job goes on from there."""


class SavedError(KilledError):
    """A training program that was asked to stop, and saved before it did: the same job goes on from there."""
