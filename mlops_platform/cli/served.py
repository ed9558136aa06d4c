"""What one worker opens: live models with their online store and journal, and the routes over them."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
from starlette.types import ASGIApp

from mlops_platform.cli.body_to_ask import body_to_ask
from mlops_platform.errors import PlatformError
from mlops_platform.provenance.router import why_router
from mlops_platform.resources.home import Home
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.http.app import create_app
from mlops_platform.serving.http.columns import TIME, entity_columns, frame_of
from mlops_platform.serving.http.metrics import Metrics
from mlops_platform.serving.http.schemas import example
from mlops_platform.serving.http.service import Service
from mlops_platform.serving.http.settings import Settings
from mlops_platform.serving.http.tracing import Tracing
from mlops_platform.serving.live import LiveModel
from mlops_platform.spec import Project

_LOG = logging.getLogger(__name__)


def opened(home: Home, project: Project, names: tuple[str, ...], settings: Settings) -> tuple[ASGIApp, Service]:
    """The application of one worker, its models looked up once.

    Args:
        home, project: Where champions are.
        names: Of the models.
        settings: Bounds and access.
    """
    metrics, tracing = Metrics(), Tracing.from_environment()
    online = OnlineDoor(home, project)
    if not online.ours:
        # A store behind a network may keep its own question waiting: in a thread, where it keeps no other.
        settings = replace(settings, inline=0)
    service = Service(project=project, models={})
    for name in names:
        model, observe = project.model(name), metrics.phase(name)
        log = AnswerLog(home, project, model)
        observe = tracing.phase(observe) if tracing is not None else observe
        live = LiveModel(home, project, model, online=online, log=log.log, observe=observe)
        live.refresh()
        if live.ready:
            _warm(online, project, name)
        service.models[name] = live
        # When the last answer is out: what was logged can then be shipped at once.
        service.at_end.append(log.close)
    app = create_app(service, routers=(why_router(home, project),), settings=settings, metrics=metrics, tracing=tracing)
    return app, service


def find_examples(home: Home, service: Service) -> None:
    """Looks for a request to each model that can be sent as it stands, for whoever reads the service's pages."""
    for name, live in service.models.items():
        body = body_to_ask(home, service.project, name, live)
        if body is not None:
            service.examples[name] = body


def _warm(online: OnlineDoor, project: Project, name: str) -> None:
    """Reads the features of no one in particular: what a store imports or opens at its first read is then there."""
    model = project.model(name)
    columns = entity_columns(project, model)
    row = frame_of(columns, {name: [value] for name, value in example(columns).items()}, 1, "warming")
    try:
        online.read(model, row.with_columns(pl.lit(datetime.now(UTC)).dt.cast_time_unit("us").alias(TIME)))
    except PlatformError as error:
        # Questions that bring their features can be answered all the same; the others are told.
        remedy = f"mlops materialize --select 'key:\"{project.name}/feast/online\"'" if online.ours else error.remedy
        _LOG.warning("the online store does not answer: %s; remedy: %s", error.found, remedy)
