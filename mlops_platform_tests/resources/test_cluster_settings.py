"""Where clusters are told of, and that nobody who does not use one needs its software."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.resources.launchers import LAUNCHERS, launcher
from mlops_platform.resources.launchers.settings import FILE, KubernetesSettings, RaySettings, settings_of
from mlops_platform_tests.resources.cluster_launching import launched

EXAMPLE = Path(__file__).parents[2] / "docs" / "guides" / "clusters.md"


def test_the_example_of_the_guide_is_read(home: Home) -> None:
    (home.root / FILE).write_text(EXAMPLE.read_text().split("```toml\n")[1].split("```")[0])
    ray, kubernetes = settings_of(RaySettings, home), settings_of(KubernetesSettings, home)
    assert ray.address == "http://head:8265"
    assert kubernetes.secret_env == {"HF_TOKEN": "hub/token"}
    assert kubernetes.tolerations == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_without_a_file_all_is_as_usual(home: Home) -> None:
    assert settings_of(RaySettings, home) == RaySettings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ray]\nadress = 'x'", "ray.adress: Extra inputs are not permitted"),
        ("[kubernetes]\ngpus_per_node = 'many'", "kubernetes.gpus_per_node: Input should be a valid integer"),
        ("[kubernetes]\nsecret_env = {TOKEN = 'hub'}", "kubernetes.secret_env.TOKEN: String should match"),
        ("[slurm]\n", "section or field slurm"),
        ("[ray", "Expected"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line(home: Home, text: str, said: str) -> None:
    (home.root / FILE).write_text(text)
    with pytest.raises(PlatformError, match=said):
        settings_of(RaySettings, home)


def test_loading_the_launchers_imports_no_cluster_software() -> None:
    code = "import sys; from mlops_platform.resources.launchers import LAUNCHERS, launcher\n"
    code += "for name in LAUNCHERS: launcher(name)\n"
    code += "print(*sorted({module.partition('.')[0] for module in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"ray", "dagster_ray", "kubernetes", "dagster_k8s", "torch"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(("name", "module"), [("ray", "dagster_ray"), ("kubernetes", "dagster_k8s")])
def test_an_extra_that_is_not_there_is_named(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert name in LAUNCHERS
    with pytest.raises(PlatformError, match=rf'pip install "mlops-platform\[{name}\]"'):
        launched(launcher(name), tmp_path, {})


@pytest.mark.parametrize(
    ("address", "said"), [("", "no RAY_ADDRESS"), ("http://127.0.0.1:9", r"dashboard answers at http://127\.0\.0\.1:9")]
)
def test_a_cluster_that_is_not_there_is_said(
    address: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(PlatformError, match=said):
        launched(launcher("ray"), tmp_path, {})
