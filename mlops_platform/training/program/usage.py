"""What a training takes of its processors and devices; NVIDIA's library is asked where it trains on their devices."""

import importlib.util
import os
import resource
import sys
import threading
import time
from typing import Any

from mlops_platform.training.job import Device

_KILO = 1024 if sys.platform != "darwin" else 1


class Usage:
    """Sums and peaks since the process began; the devices are those of this machine that the process may see.

    The figures: ``cpu_seconds`` and ``peak_memory_bytes`` of this process, ``threads`` it may use; on CUDA, where the
    extra ``gpu`` is installed, ``device_peak_bytes`` (the largest of any device) and, as far as a device tells them,
    ``device_samples``, ``device_busy`` (the sum of their shares of time with a kernel at work, so that it divided by
    the samples is the mean) and ``energy_joules``.
    """

    def __init__(self, device: Device) -> None:
        """Looks for the devices.

        Args:
            device: What the job runs on.
        """
        self._threads = device.threads
        self._nvml: Any
        self._handles: tuple[Any, ...]
        self._nvml, self._handles = _devices() if device.accelerator == "cuda" else (None, ())
        self._lock = threading.Lock()
        self._samples, self._busy, self._peak = 0, 0.0, 0
        self._joules: float | None = None
        self._watched = time.perf_counter()
        self._began = [self._counted(handle) for handle in self._handles]

    def sample(self) -> None:
        """Looks once at every device."""
        now = time.perf_counter()
        with self._lock:
            for handle in self._handles:
                rates = self._told("UtilizationRates", handle)
                if rates is not None:
                    self._samples += 1
                    self._busy += rates.gpu / 100
                self._peak = max(self._peak, int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used))
                power = self._told("PowerUsage", handle) if self._counted(handle) is None else None
                if power is not None:
                    self._joules = (self._joules or 0.0) + power / 1000 * (now - self._watched)
            self._watched = now

    def figures(self) -> dict[str, float]:
        """The figures so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        told: dict[str, float] = {
            "cpu_seconds": used.ru_utime + used.ru_stime, "threads": self._threads,
            "peak_memory_bytes": used.ru_maxrss * _KILO,
        }  # fmt: skip
        if not self._handles:
            return told
        with self._lock:
            counted = [(self._counted(handle), began) for handle, began in zip(self._handles, self._began, strict=True)]
            joules = [(now - began) / 1000 for now, began in counted if now is not None and began is not None]
            busy = {"device_samples": self._samples, "device_busy": self._busy} if self._samples else {}
            energy = (
                {"energy_joules": sum(joules) + (self._joules or 0.0)} if joules or self._joules is not None else {}
            )
            return {**told, **busy, **energy, "device_peak_bytes": self._peak}

    def _counted(self, handle: Any) -> int | None:
        """Millijoules that a device counted since its driver was loaded; None of one that counts none."""
        told = self._told("TotalEnergyConsumption", handle)
        return None if told is None else int(told)

    def _told(self, figure: str, handle: Any) -> Any:
        """What NVIDIA's library tells of a device; None where it does not, as of a part of one (MIG)."""
        try:
            return getattr(self._nvml, f"nvmlDeviceGet{figure}")(handle)
        except self._nvml.NVMLError_NotSupported:
            return None


def _devices() -> tuple[Any, tuple[Any, ...]]:
    """NVIDIA's library, and its handles of those devices that ``CUDA_VISIBLE_DEVICES`` leaves to CUDA."""
    if importlib.util.find_spec("pynvml") is None:
        return None, ()
    import pynvml

    pynvml.nvmlInit()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible is not None else [str(n) for n in range(pynvml.nvmlDeviceGetCount())]
    handles = [
        pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)
        for name in (name.strip() for name in names if name.strip())
    ]
    return pynvml, tuple(handles)
