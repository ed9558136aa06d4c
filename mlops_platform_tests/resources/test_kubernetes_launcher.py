"""The pod as the API's schema has it, and dagster-k8s' client against a Kubernetes of one node that is no cluster."""

import json
import re
import string
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes
import kubernetes_validate
import pytest
from dagster_k8s.pipes import build_pod_body
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.errors import KilledError, PlatformError, SavedError, TrainingError
from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.kubernetes import KubernetesLauncher
from mlops_platform.resources.launchers.pod import metadata, spec
from mlops_platform.resources.launchers.settings import KubernetesSettings
from mlops_platform_tests.resources.cluster_launching import cancel_when_heard, gone, launched, told, until
from mlops_platform_tests.resources.fake_kubernetes import VERSION, Fake, fake_kubernetes

GOLDEN = Path(__file__).parent / "pod.json"
HOME = Path("/home/mlops")
SECRET = "s3cr3t"
SETTINGS: dict[str, Any] = {
    "image": "registry.example/mlops:1.4", "home_claim": "mlops-home", "home_sub_path": "homes/team",
    "memory": "64Gi", "gpu_model": "NVIDIA H100", "gpus_per_node": 8, "secrets": ["bucket"],
    "secret_env": {"TOKEN": "hub/token"}, "env": {"NCCL_DEBUG": "WARN"},
    "node_selector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "service_account": "trainer", "labels": {"team": "shop"}, "annotations": {"cost-centre": "42"},
}  # fmt: skip


def rendered(us: KubernetesSettings, launch: Launch, run_id: str = "run", asset: str = "shop/sells/checkpoint") -> Any:
    """The pod as dagster-k8s sends it."""
    folder = launch.job.parent / "mlops-1"
    body = build_pod_body(
        pod_name="dagster-run-shop", image=None, command=None, env_vars={"DAGSTER_PIPES_CONTEXT": "..."},
        base_pod_meta=metadata(us, run_id, asset), base_pod_spec=spec(us, launch, folder, HOME),
    )  # fmt: skip
    sent = kubernetes.client.ApiClient().sanitize_for_serialization(body)
    # Dagster's version.
    sent["metadata"]["labels"].pop("app.kubernetes.io/version")
    return {"apiVersion": "v1", "kind": "Pod", **sent}


def on_gpus() -> Launch:
    return Launch(
        job=HOME / "dev/jobs/1/job.json", accelerator="cuda", devices=4, threads=6, grace_seconds=120,
        env={"OMP_NUM_THREADS": "6"},
    )  # fmt: skip


def test_the_pod_is_as_it_was() -> None:
    pod = rendered(KubernetesSettings(**SETTINGS), on_gpus())
    kubernetes_validate.validate(pod, VERSION, strict=True)
    assert pod == json.loads(GOLDEN.read_text())


def test_the_schema_refuses_what_kubernetes_would(tmp_path: Path) -> None:
    wrong = KubernetesSettings(**{**SETTINGS, "tolerations": [{"key": "gpu", "operater": "Exists"}]})
    with pytest.raises(kubernetes_validate.ValidationError, match="operater"):
        kubernetes_validate.validate(rendered_raw(wrong), VERSION, strict=True)


def rendered_raw(us: KubernetesSettings) -> Any:
    """The pod before dagster-k8s' models, which would drop what they do not know."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", **metadata(us, "run", "a/b/c")},
            "spec": spec(us, on_gpus(), HOME / "x", HOME)}  # fmt: skip


NAMES = st.text(string.ascii_letters + string.digits + "_-. é/", max_size=80)


@settings(max_examples=25, deadline=None)
@given(
    accelerator=st.sampled_from(["cpu", "cuda"]), devices=st.integers(1, 16), threads=st.integers(1, 64),
    run=NAMES, model=NAMES, secrets=st.lists(st.sampled_from(["a", "b"]), unique=True),
)  # fmt: skip
def test_any_pod_is_valid_and_asks_for_what_it_uses(
    accelerator: str, devices: int, threads: int, run: str, model: str, secrets: list[str]
) -> None:
    us = KubernetesSettings(image="x", home_claim="home", secrets=secrets, secret_env={"T": "s/k"})
    launch = Launch(job=HOME / "job.json", accelerator=accelerator, devices=devices, threads=threads)
    pod = rendered(us, launch, run, f"shop/{model}/checkpoint")
    kubernetes_validate.validate(pod, VERSION, strict=True)
    (container,) = pod["spec"]["containers"]
    asked = container["resources"]["requests"]
    assert asked == container["resources"]["limits"]
    assert asked["cpu"] == str(devices * threads)
    assert asked.get("nvidia.com/gpu") == (str(devices) if accelerator == "cuda" else None)
    variables = {variable["name"]: variable for variable in container["env"]}
    assert "value" not in variables["T"]
    assert [source["secretRef"]["name"] for source in container.get("envFrom", [])] == secrets
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["terminationGracePeriodSeconds"] > launch.grace_seconds
    label = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
    assert all(label.fullmatch(value) for value in pod["metadata"]["labels"].values())


@pytest.fixture
def fake() -> Fake:
    return Fake(secrets={"bucket": {"BUCKET": "s3://there"}, "hub": {"token": SECRET}})


@pytest.fixture
def launcher(tmp_path: Path, fake: Fake) -> Iterator[KubernetesLauncher]:
    with fake_kubernetes(tmp_path, fake) as config:
        own = {"image": "x", "home_claim": "home", "secrets": ["bucket"], "secret_env": {"TOKEN": "hub/token"},
               "kubeconfig": str(config), "poll_seconds": 0.1, "wait_seconds": 2}  # fmt: skip
        yield KubernetesLauncher(KubernetesSettings(**own))


def test_a_pod_is_run_heard_and_deleted(
    launcher: KubernetesLauncher, fake: Fake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = launched(launcher, tmp_path / "home" / "job", {}, devices=2)
    assert [message["event"] for message in messages] == ["finished"]
    found = [told(tmp_path / "home" / "job", rank) for rank in (0, 1)]
    assert [(each["RANK"], each["LOCAL_RANK"], each["WORLD_SIZE"]) for each in found] == [
        ("0", "0", "2"),
        ("1", "1", "2"),
    ]
    assert (found[0]["TOKEN"], found[0]["BUCKET"]) == (SECRET, "s3://there")
    printed = capfd.readouterr().out
    assert "[rank-0] rank 0 prints" in printed and "[rank-1] rank 1 prints" in printed
    (pod,) = fake.pods.values()
    assert pod.deleted
    assert SECRET not in json.dumps(pod.pod)
    assert pod.pod["metadata"]["labels"]["mlops/model"] == "sells"


def test_an_api_server_that_is_away_for_a_while_ends_no_training(
    launcher: KubernetesLauncher, fake: Fake, tmp_path: Path
) -> None:
    fake.away = 3
    assert [message["event"] for message in launched(launcher, tmp_path / "home" / "job", {})] == ["finished"]
    (pod,) = fake.pods.values()
    assert pod.deleted and fake.away == 0


def test_an_api_server_that_takes_no_pod_says_why(launcher: KubernetesLauncher, fake: Fake, tmp_path: Path) -> None:
    fake.refuses = True
    with pytest.raises(TrainingError, match=r"403 Forbidden(.|\n)*pods is forbidden(.|\n)*clusters.toml"):
        launched(launcher, tmp_path / "home" / "job", {})


def test_a_cancelled_run_deletes_the_pod_and_waits_until_it_is_gone(
    launcher: KubernetesLauncher, fake: Fake, tmp_path: Path
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        thread = cancel_when_heard(tmp_path / "home" / "job", instance)
        with pytest.raises(BaseException) as caught:
            launched(launcher, tmp_path / "home" / "job", {"wait": 0}, instance)
        thread.join()
    assert isinstance(caught.value, KeyboardInterrupt) or "Interrupted" in type(caught.value).__name__
    assert gone(tmp_path / "home" / "job")
    (pod,) = fake.pods.values()
    assert pod.deleted


@pytest.mark.parametrize(
    ("job", "error", "said"),
    [
        ({"fails": 0}, TrainingError, "exit code 1"),
        ({"killed": 0}, KilledError, "SIGKILL"),
        ({"saves": 0}, SavedError, "asked to stop, and saved"),
    ],
)
def test_a_container_that_fails_says_how(
    launcher: KubernetesLauncher, tmp_path: Path, job: dict[str, int], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        launched(launcher, tmp_path / "home" / "job", job)


def test_a_container_that_is_killed_takes_its_processes_with_it(
    launcher: KubernetesLauncher, fake: Fake, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "job"

    def kill() -> None:
        until((folder / "0.json").is_file)
        (pod,) = fake.pods.values()
        assert pod.process is not None
        pod.why = "OOMKilled"
        pod.process.kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with pytest.raises(KilledError, match=r"OOMKilled(.|\n)*raise memory \(8Gi\)"):
        launched(launcher, folder, {"wait": 0})
    thread.join()
    assert until(lambda: gone(folder), 5)


@pytest.mark.parametrize("why", ["CreateContainerConfigError", "ContainerCreating"])
def test_a_pod_that_does_not_start_is_deleted_and_says_why(
    launcher: KubernetesLauncher, fake: Fake, tmp_path: Path, why: str
) -> None:
    fake.never = why
    with pytest.raises(TrainingError, match=f"to start within 2 s(.|\n)*{why}"):
        launched(launcher, tmp_path / "home" / "job", {})
    (pod,) = fake.pods.values()
    assert pod.deleted


@pytest.mark.parametrize(
    ("settings", "asked", "said"),
    [
        ({}, {}, "image under"),
        ({"image": "x"}, {}, "home_claim under"),
        ({"image": "x", "home_claim": "h"}, {"nodes": 2}, "one node"),
        ({"image": "x", "home_claim": "h"}, {}, "in the home"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked_of_a_cluster(
    tmp_path: Path, settings: dict[str, str], asked: dict[str, int], said: str
) -> None:
    with pytest.raises(PlatformError, match=said):
        launched(KubernetesLauncher(KubernetesSettings(**settings)), tmp_path / "elsewhere", {}, **asked)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(rendered(KubernetesSettings(**SETTINGS), on_gpus()), indent=2) + "\n")
