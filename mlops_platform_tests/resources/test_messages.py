"""A message is read once it is whole, however it was written."""

import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.resources.messages import whole_lines


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=6).filter(lambda b: b"\n" not in b), max_size=6), cut=st.integers(1, 7))
def test_lines_written_in_pieces_are_read_whole(tmp_path: Path, lines: list[bytes], cut: int) -> None:
    path, ended = tmp_path / "messages", threading.Event()
    path.write_bytes(b"")
    data = b"".join(line + b"\n" for line in lines) + b"half"

    def write() -> None:
        for start in range(0, len(data), cut):
            with path.open("ab") as file:
                file.write(data[start : start + cut])
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert list(whole_lines(path, ended)) == lines
    thread.join()
