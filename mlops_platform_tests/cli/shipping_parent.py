"""A parent that ships as ``mlops serve`` does, with no workers: ``HOME``; it says ready, and ends with its input."""

import socket
import sys
from pathlib import Path

from mlops_platform.cli import shipping
from mlops_platform.resources.home import Home

if __name__ == "__main__":
    from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

    shipping.EVERY = shipping._AGAIN = 0.1
    with socket.socket() as listener, shipping.shipping(Home(Path(sys.argv[1])), PROJECT, (MODEL.name,), listener):
        print("ready", flush=True)
        sys.stdin.readline()
