"""What NVIDIA's library does not tell of a device is left out, and the rest is told."""

from typing import Any

import pytest

from mlops_platform.training.job import Device
from mlops_platform.training.program import usage


class NotSupported(Exception):
    """As pynvml's."""


class Part:
    """NVIDIA's library before a part of a device (MIG), of which it tells the memory alone."""

    NVMLError_NotSupported = NotSupported

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return type("Memory", (), {"used": 7})

    def __getattr__(self, name: str) -> Any:
        def refuse(handle: str) -> None:
            raise self.NVMLError_NotSupported(name)

        return refuse


def test_a_part_of_a_device_tells_its_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_devices", lambda: (Part(), ("MIG-1",)))
    asked = usage.Usage(Device(accelerator="cuda"))
    asked.sample()
    told = asked.figures()
    assert told["device_peak_bytes"] == 7
    assert not {"device_samples", "device_busy", "energy_joules"} & set(told)
