"""Rows that do not fit into memory: encoded once into files, which the kernel maps in and out as they are read.

A file is mapped and then unlinked at once, so that its space is free again when this process ends, however it ends. It
lies where temporary files go (``TMPDIR``), which should be a local disk, not one held in memory.
"""

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import torch

from mlops_platform.errors import TrainingError

_CHUNK_BYTES = 1 << 23


def mapped(shape: tuple[int, ...], dtype: torch.dtype, *, at_random: bool = False) -> torch.Tensor:
    """A contiguous tensor of zeros in a file of its own; of its pages only those in use take memory.

    Args:
        shape, dtype: Its.
        at_random: Whether it will be read so: then no pages beside the one that is asked for are read.

    Raises:
        TrainingError: The disk of temporary files has no room for it.
    """
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    size = count * dtype.itemsize
    handle, name = tempfile.mkstemp(prefix="mlops-rows-")
    try:
        # Reserved whole: a disk that filled up later would end the process by a signal, in the middle of a write.
        os.posix_fallocate(handle, 0, size)
        place = mmap.mmap(handle, size)
        if at_random:
            place.madvise(mmap.MADV_RANDOM)
        return torch.frombuffer(place, dtype=dtype).view(shape)
    except OSError as error:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        raise TrainingError(
            required=f"{size:,} bytes in {tempfile.gettempdir()} for rows that do not fit into memory",
            found=f"{free:,} bytes free ({error.strerror})",
            remedy="set TMPDIR to a local disk with room, or give the training more memory",
        ) from error  # fmt: skip
    finally:
        os.close(handle)
        os.unlink(name)


def chunks(path: Path, columns: list[str]) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file in their order, a part after the other."""
    # Not by polars, which reads several row groups ahead.
    rows = max(1, _CHUNK_BYTES // (8 * len(columns)))
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame


def finite(path: Path, column: str, rows: int) -> np.ndarray:
    """The finite values float64 of one column, as the network sees them (float32), in a mapped file.

    Args:
        path: Parquet file.
        column: Of numbers.
        rows: How many it has.
    """
    values = mapped((rows,), torch.float64).numpy()
    filled = 0
    for chunk in chunks(path, [column]):
        part = chunk[column].cast(pl.Float32).fill_null(float("nan")).to_numpy().astype(np.float64)
        part = part[np.isfinite(part)]
        values[filled : filled + len(part)] = part
        filled += len(part)
    return values[:filled]
