"""The models of one worker, as the routes need them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops_platform.serving.question import Answer, Question
from mlops_platform.spec import Model, Project


class Live(Protocol):
    """A model that answers: ``serving/live.py``'s ``LiveModel``."""

    @property
    def ready(self) -> bool:
        """Whether a version is loaded, verified and warmed."""
        ...

    @property
    def following(self) -> bool:
        """Whether the thread that looks for new versions is alive."""
        ...

    def standing(self) -> dict[str, Any]:
        """What is live: version, checkpoint, since, refused."""
        ...

    def answer(self, question: Question) -> list[Answer]:
        """Answers every row once; shadow's answers may come with them."""
        ...

    def close(self) -> None:
        """Drains what is at work and lets go of everything."""
        ...


@dataclass
class Service:
    """What one worker serves.

    Attributes:
        project: The declaration.
        models: Live models by name.
        draining: Whether the worker was asked to stop.
        at_end: Called once after the last request.
        examples: By model, once one is found, the body of a request that can be sent as it stands.
    """

    project: Project
    models: dict[str, Live]
    draining: bool = False
    at_end: list[Callable[[], None]] = field(default_factory=list)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)

    def declared(self, name: str) -> Model:
        """The declaration of a served model."""
        return self.project.model(name)

    def close(self) -> None:
        """Closes every model, then what else was opened."""
        for live in self.models.values():
            live.close()
        for end in self.at_end:
            end()
