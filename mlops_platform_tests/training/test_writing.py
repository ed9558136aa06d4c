"""What goes wrong in the thread that writes saves is told by the training."""

import pytest

from mlops_platform.errors import TrainingError


def fails(error: Exception) -> None:
    raise error


def test_no_error_of_the_thread_is_lost() -> None:
    from mlops_platform.training.program.writing import Writing

    said: list[str] = []
    writing = Writing(said.append)
    writing.start(lambda: fails(OSError("disk full")))
    with pytest.raises(TrainingError, match="disk full"):
        writing.join()
    writing.start(lambda: None)
    writing.join()
    writing.start(lambda: fails(OSError("disk full")))
    writing.join()
    assert said == ["a save could not be written and is left out: disk full"]
    writing.start(lambda: fails(AttributeError("cannot pickle a lambda")))
    with pytest.raises(AttributeError, match="cannot pickle"):
        writing.join()
