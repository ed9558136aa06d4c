"""The launcher that trains on a Ray cluster: dagster-ray submits a Ray job, which starts a process a device."""

import contextlib
import importlib
import json
import os
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_platform.errors import KilledError, PlatformError, TrainingError
from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.patience import PATIENCE_SECONDS, patiently
from mlops_platform.resources.launchers.settings import RaySettings, place, settings_of
from mlops_platform.resources.launchers.shared import Shared

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

DRIVER = "mlops_platform.training.program.ray_driver"
REFUSED = "MLOPS-REFUSED "
_POLL_SECONDS = 0.5
# As many as Ray's interface tells; by itself it tells of a hundred.
_MOST_NODES = 10_000


class RayLauncher:
    """A job of the cluster that the settings or ``RAY_ADDRESS`` name; it ends with this process."""

    near = False

    def __init__(self, settings: RaySettings | None = None) -> None:
        """Takes what it is told, by the home's file where by nobody else; nobody is asked yet."""
        self._settings = settings or settings_of(RaySettings)

    def gpus(self) -> Mapping[str, str]:
        """Models of the GPUs of all nodes, by the node's address and a number."""
        jobs = self._jobs()
        from ray.util.state import list_nodes

        found = {}
        for node in list_nodes(address=jobs.get_address(), filters=[("state", "=", "ALIVE")], limit=_MOST_NODES):
            kinds = [name.partition(":")[2] for name in node.resources_total if name.startswith("accelerator_type:")]
            for number in range(int(node.resources_total.get("GPU", 0))):
                found[f"{node.node_ip}:{number}"] = kinds[0] if kinds else "GPU"
        return found

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        """See ``Launcher``.

        Raises:
            PlatformError: The extra is not installed, no cluster is named, or it does not answer.
        """
        client = _extra("dagster_ray").PipesRayJobClient
        jobs, name = self._jobs(), f"mlops-{context.run.run_id[:8]}-{uuid.uuid4().hex[:8]}"
        with Shared(launch, name) as shared, self._ended(jobs, name, launch):
            pipes = client(message_reader=shared.reader, poll_interval=_POLL_SECONDS)
            pipes.client = _Watched(jobs.client, shared.require_life)
            # A bare RuntimeError is its word for a job that ended badly; the job's record tells how.
            with contextlib.suppress(RuntimeError):
                pipes.run(
                    context=context, extras={"job": str(launch.job)},
                    submit_job_params={
                        "submission_id": name, "entrypoint": self._command(launch, shared.folder),
                        "runtime_env": {"env_vars": self._environment(launch)},
                    },
                )  # fmt: skip
            return shared.require_finished(lambda: _refuse(jobs.get_job_info(name)))

    def _jobs(self) -> "Jobs":
        address = os.environ.get("RAY_ADDRESS") or self._settings.address
        if not address:
            raise PlatformError(
                required="a Ray cluster to train on",
                found=f"no RAY_ADDRESS, and no address under [ray] of {place()}",
                remedy="name the cluster's dashboard, as in RAY_ADDRESS=http://head:8265",
            )  # fmt: skip
        submission = _extra("ray.job_submission")
        try:
            return Jobs(submission.JobSubmissionClient(address))
        except ConnectionError as error:
            raise PlatformError(
                required=f"a Ray cluster whose dashboard answers at {address}", found=str(error),
                remedy="start it with its dashboard (ray[default]), or mend RAY_ADDRESS",
            ) from error  # fmt: skip

    def _command(self, launch: Launch, folder: Path) -> str:
        us = self._settings
        told = {
            "job": launch.job, "folder": folder, "program": launch.program, "accelerator": launch.accelerator,
            "nodes": launch.nodes, "devices": launch.devices, "threads": launch.threads,
            "wait": us.wait_seconds, "grace": launch.grace_seconds, "orphan": us.orphan_seconds,
        }  # fmt: skip
        options = [part for name, value in told.items() for part in (f"--{name}", str(value))]
        return shlex.join([us.python, "-m", DRIVER, *options])

    def _environment(self, launch: Launch) -> dict[str, str]:
        return {**launch.env, **self._settings.env, "RAY_JOB_STOP_WAIT_TIME_S": str(_patience(launch))}

    @contextlib.contextmanager
    def _ended(self, jobs: "Jobs", name: str, launch: Launch) -> Iterator[None]:
        """Leaves no process behind: stops the job, and waits until it has."""
        try:
            yield
        except BaseException:
            if jobs.exists(name):
                jobs.stop_job(name)
                deadline = time.monotonic() + _patience(launch) + PATIENCE_SECONDS
                while not jobs.get_job_status(name).is_terminal() and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
            raise


class Jobs:
    """A cluster's jobs; a dashboard that does not answer is asked again for two minutes."""

    def __init__(self, client: "JobSubmissionClient") -> None:
        self.client = client

    def get_address(self) -> str:
        """Of the dashboard."""
        return self.client.get_address()

    def submit_job(self, **params: Any) -> str:
        """Submits a job, once; see ``JobSubmissionClient``.

        Raises:
            TrainingError: The cluster does not take it.
        """
        try:
            return self.client.submit_job(**params)
        except RuntimeError as error:
            raise TrainingError(
                required="a Ray cluster that takes the training's job", found=str(error)[-2000:],
                remedy="see the cluster's own logs, in its dashboard",
            ) from error  # fmt: skip

    def exists(self, name: str) -> bool:
        """Whether a job of that name was submitted."""
        return any(job.submission_id == name for job in patiently(self.client.list_jobs, _is_away))

    def get_job_status(self, name: str) -> "JobStatus":
        """How far it is."""
        return patiently(lambda: self.client.get_job_status(name), _is_away)

    def get_job_info(self, name: str) -> "JobDetails":
        """Its record."""
        return patiently(lambda: self.client.get_job_info(name), _is_away)

    def stop_job(self, name: str) -> bool:
        """Asks it to stop; whether it was running."""
        return patiently(lambda: self.client.stop_job(name), _is_away)


class _Watched(Jobs):
    """Looks whether the training lives each time when somebody asks how far it is."""

    def __init__(self, client: "JobSubmissionClient", look: Callable[[], None]) -> None:
        super().__init__(client)
        self._look = look

    def get_job_status(self, name: str) -> "JobStatus":
        self._look()
        return super().get_job_status(name)


def _patience(launch: Launch) -> int:
    """Seconds that Ray waits for the driver when a job is stopped, since that waits for the processes."""
    return round(2 * launch.grace_seconds) + 10


def _is_away(error: Exception) -> bool:
    """Whether nobody is there, the connection broke (``requests`` has errors of that kind), or the head starts anew."""
    return isinstance(error, OSError) or (isinstance(error, RuntimeError) and "status code 5" in str(error))


def _extra(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PlatformError(
            required="the extra `ray`, for launcher ray", found=str(error),
            remedy='pip install "mlops-platform[ray]"',
        ) from error  # fmt: skip


def _refuse(record: "JobDetails") -> None:
    """Tells why a job started no process, or how it died.

    Raises:
        TrainingError: Its driver refused, or did not begin.
        KilledError: The node of the driver is gone.
    """
    text = record.message or ""
    for line in text.splitlines():
        if line.startswith(REFUSED):
            raise TrainingError(**json.loads(line.removeprefix(REFUSED)))
    lost = record.error_type in ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
    raise (KilledError if lost else TrainingError)(
        required="the Ray job to run to its end", found=f"{record.status}: {text[-2000:]}",
        remedy="run it again" if lost else "read the job's log in Ray's dashboard",
    )  # fmt: skip
