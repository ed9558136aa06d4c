"""A Ray cluster of two nodes of one processor each, on this machine; it ends with the process that started it."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STORE = 80 * 2**20


@contextlib.contextmanager
def two_nodes() -> Iterator[str]:
    """The address of the cluster's dashboard; nodes that still run when the block ends are killed with it."""
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's own are too long for Ray's sockets
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "RAY_USAGE_STATS_ENABLED": "0",
           "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_platform_tests.resources.two_nodes", folder], env=env, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdin is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _serve(folder: str) -> None:
    """Runs the cluster until standard input closes, as it does when the tests are gone, however they went."""
    import ray._private.utils
    from ray.cluster_utils import Cluster

    # It would write to a folder that every Ray of this machine reads.
    ray._private.utils.write_ray_address = lambda *args, **kwargs: None
    head = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": True, "temp_dir": folder,
            "dashboard_port": 0}  # fmt: skip
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=_STORE)
    print(f"http://{cluster.head_node.webui_url}", flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1])
