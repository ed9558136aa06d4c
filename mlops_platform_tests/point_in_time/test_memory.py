"""What a join may use."""

import os
from pathlib import Path

import pytest

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.memory import allowed_bytes, default_budget, parse_bytes, used_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), ("5", 5), ("2KB", 2000), ("2 KiB", 2048), ("1.5G", 1_500_000_000), ("6GiB", 6 * 2**30), ("1tb", 10**12)],
)
def test_sizes_are_read(text: int | str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", -1, "six", "6 GiBs", "1e9", "6XB", "I"])
def test_what_is_no_size_is_an_error(text: int | str) -> None:
    with pytest.raises(PointInTimeError, match="memory budget: required is a size such as 6GiB"):
        parse_bytes(text)


def test_the_default_is_three_quarters_of_what_is_allowed() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < used_bytes() < allowed_bytes() <= machine
    assert default_budget() == int(allowed_bytes() * 0.75)


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/job/part\n", "job/memory.max"),
        ("0::/\n", "memory.max"),
        ("9:memory:/job\n2:cpu:/\n", "memory/job/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_a_cgroup_or_of_one_above_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, file: str
) -> None:
    """Of either version, as the files of a container look."""
    limit = tmp_path / "cgroup" / file
    limit.parent.mkdir(parents=True)
    limit.write_text("1048576\n")
    own = tmp_path / "own"
    own.write_text(groups)
    monkeypatch.setattr("mlops_platform.point_in_time.memory._CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr("mlops_platform.point_in_time.memory._OWN", own)
    assert allowed_bytes() == 1048576
