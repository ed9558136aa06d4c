"""The launcher that trains in a pod of a Kubernetes cluster, by dagster-k8s' Pipes client."""

import contextlib
import importlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.errors import KilledError, PlatformError, TrainingError
from mlops_platform.resources.home import Home
from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.patience import patiently
from mlops_platform.resources.launchers.pod import metadata, spec
from mlops_platform.resources.launchers.settings import KubernetesSettings, place, settings_of
from mlops_platform.resources.launchers.shared import Shared

_GONE_SECONDS = 60.0
_NOT_FOUND = 404
_TOO_MANY, _SERVERS_OWN = 429, 500
_KILLED = 137
_KILLS = {"OOMKilled", "Evicted", "NodeLost", "NodeShutdown", "Terminated", "Preempting", "Killed", "gone"}
_NOBODY_MENDS = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"}


class KubernetesLauncher:
    """One pod, with all devices of the training in it; it is deleted when it has ended or nobody waits any more."""

    near = False

    def __init__(self, settings: KubernetesSettings | None = None) -> None:
        """Takes what it is told, by the home's file where by nobody else; nobody is asked yet."""
        self._settings = settings or settings_of(KubernetesSettings)

    def gpus(self) -> Mapping[str, str]:
        """Those that the settings declare, for the cluster may bring nodes up only when they are asked for."""
        model, count = self._settings.gpu_model, self._settings.gpus_per_node
        return {str(number): model for number in range(count)} if model else {}

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        """See ``Launcher``.

        Raises:
            PlatformError: The extra is not installed, or the settings do not suffice.
        """
        _extra("dagster_k8s")
        home = Home.from_environment().path
        self._require_settings(launch, home)
        with Shared(launch, f"mlops-{uuid.uuid4().hex}") as shared:
            pod = _Pod(self._settings, shared)
            meta = metadata(self._settings, context.run.run_id, "/".join(context.asset_key.path))
            with pod.gone_afterwards(launch.grace_seconds):
                pod.run(context, launch, meta, spec(self._settings, launch, shared.folder, home))
            return shared.require_finished(pod.refuse)

    def _require_settings(self, launch: Launch, home: Path) -> None:
        for name, what in (("image", "a container's image"), ("home_claim", "the claim that holds the home")):
            if not getattr(self._settings, name):
                raise PlatformError(
                    required=f"{name} under [kubernetes] of {place()}: {what}", found="nothing",
                    remedy="write it there: docs/guides/clusters.md has an example",
                )  # fmt: skip
        if launch.nodes > 1:
            raise PlatformError(
                required="one node, by launcher kubernetes: dagster-k8s' Pipes client waits for one pod",
                found=f"{launch.nodes} nodes", remedy="declare more devices on one node, or take launcher ray",
            )  # fmt: skip
        if not launch.job.is_relative_to(home):
            raise PlatformError(
                required=f"the job's file in the home {home}, which the pod mounts", found=str(launch.job),
                remedy="point MLOPS_HOME at the home on the claim's filesystem",
            )  # fmt: skip


class _Pod:
    """One run of dagster-k8s' client, and what becomes of its pod."""

    def __init__(self, settings: KubernetesSettings, shared: Shared) -> None:
        self._settings, self._shared = settings, shared
        self._core: Any = None
        self._place: tuple[str, str] = ("", "")
        self._begun = time.monotonic()
        self._pending = True
        self._end = ("gone", "its pod is not there")

    def run(self, context: dg.AssetExecutionContext, launch: Launch, meta: Mapping[str, Any],
            spec: Mapping[str, Any]) -> None:  # fmt: skip
        """Returns when the pod's container has ended, however; raises what ends the wait before."""
        us, kubernetes = self._settings, _extra("dagster_k8s")
        client = _following(kubernetes.PipesK8sClient, self._follow)(
            message_reader=self._shared.reader, poll_interval=us.poll_seconds,
            kubeconfig_file=us.kubeconfig or None, kube_context=us.kube_context or None,
        )  # fmt: skip
        # The first is its word for a container that failed, or a pod that is gone; ``refuse`` says which.
        with contextlib.suppress(_extra("dagster_k8s.client").DagsterK8sError), _told_of_refusals():
            client.run(
                context=context.op_execution_context, extras={"job": str(launch.job)}, namespace=us.namespace or None,
                base_pod_meta=meta, base_pod_spec=spec, pod_wait_timeout=0,
            )  # fmt: skip

    @contextlib.contextmanager
    def _follow(self, client: Any, namespace: str, name: str) -> Iterator[None]:
        """Looks after the pod each time the client would sleep, and sees how it ended, before it is deleted."""
        self._core, self._place = _Patient(client.core_api), (name, namespace)
        client.core_api = self._core

        def sleep(seconds: float) -> None:
            self._require_start()
            self._shared.require_life()
            time.sleep(seconds)

        client.sleeper = sleep
        try:
            yield
        finally:
            if (pod := self._read()) is not None:
                self._end = _end(pod.status)

    def _require_start(self) -> None:
        pod = self._read() if self._pending else None
        if pod is not None and pod.status.phase != "Pending":
            self._pending = False
        if not self._pending:
            return
        reason, message = _end(pod.status) if pod is not None else self._end
        if reason in _NOBODY_MENDS or time.monotonic() - self._begun > self._settings.wait_seconds:
            raise TrainingError(
                required=f"the training's pod to start within {self._settings.wait_seconds:g} s",
                found=f"{reason}: {message}",
                remedy=f"mend [kubernetes] of {place()}, or give the cluster such nodes",
            )

    def refuse(self) -> None:
        """Tells why a pod ended of which its folder tells nothing.

        Raises:
            KilledError: It was killed or is gone.
            TrainingError: It failed or did not start.
        """
        reason, message = self._end
        killed = reason in _KILLS
        remedy = f"raise memory ({self._settings.memory}) in {place()}" if reason == "OOMKilled" else "run it again"
        raise (KilledError if killed else TrainingError)(
            required="the training's pod to run to its end", found=f"{reason}: {message}",
            remedy=remedy if killed else "mend what the pod says",
        )  # fmt: skip

    @contextlib.contextmanager
    def gone_afterwards(self, grace_seconds: float) -> Iterator[None]:
        """Waits until the pod that the client deleted is gone, and its processes with it."""
        try:
            yield
        finally:
            deadline = time.monotonic() + grace_seconds + _GONE_SECONDS
            while self._core is not None and self._read() is not None and time.monotonic() < deadline:
                time.sleep(min(self._settings.poll_seconds, 1.0))

    def _read(self) -> Any:
        try:
            return self._core.read_namespaced_pod(*self._place)
        except _extra("kubernetes.client").ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            return None


class _Patient:
    """The API, asked again while it is away."""

    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._core, name)
        return lambda *arguments, **named: patiently(lambda: call(*arguments, **named), _is_away)


@contextlib.contextmanager
def _told_of_refusals() -> Iterator[None]:
    try:
        yield
    except _extra("kubernetes.client").ApiException as error:
        raise TrainingError(
            required="an API server that takes the training's pod, and tells of it",
            found=f"{error.status} {error.reason}: {str(error.body or '')[:2000]}",
            remedy=f"mend [kubernetes] of {place()}, or let this account create, read and delete pods there",
        ) from error


def _is_away(error: Exception) -> bool:
    if isinstance(error, _extra("kubernetes.client").ApiException):
        return error.status in (None, 0, _TOO_MANY) or error.status >= _SERVERS_OWN
    return isinstance(error, OSError | _extra("urllib3.exceptions").HTTPError)


def _following(client: Any, follow: Callable[[Any, str, str], Any]) -> Any:
    """dagster-k8s' client, which is to follow a pod's end, not its log: that comes back by the folder."""

    class Following(client):
        @contextlib.contextmanager
        def consume_pod_logs(self, context: Any, client: Any, namespace: str, pod_name: str, **more: Any) -> Any:
            with follow(client, namespace, pod_name):
                yield

    return Following


def _end(status: Any) -> tuple[str, str]:
    """Why a pod is not running, in Kubernetes' word and in others."""
    states = [each.state for each in status.container_statuses or ()]
    details = [detail for state in states for detail in (state.terminated, state.waiting) if detail is not None]
    conditions = [condition for condition in status.conditions or () if condition.status == "False"]
    for cause in (status, *details, *conditions):
        if cause.reason:
            code = getattr(cause, "exit_code", None)
            word = "Killed" if cause.reason == "Error" and code == _KILLED else cause.reason
            return word, f"{cause.message or ''}" + (f" exit code {code}" if code is not None else "")
    return status.phase, status.message or ""


def _extra(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PlatformError(
            required="the extra `kubernetes`, for launcher kubernetes", found=str(error),
            remedy='pip install "mlops-platform[kubernetes]"',
        ) from error  # fmt: skip
