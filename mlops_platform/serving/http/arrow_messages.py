"""A look at the headers of an Arrow stream before anything in it is unpacked."""

import struct
from typing import Any

from mlops_platform.serving.http.errors import malformed

# Places of fields in https://github.com/apache/arrow/blob/main/format/Message.fbs, as offsets in a table's vtable.
_HEADER_TYPE, _HEADER, _DICTIONARY_DATA, _COMPRESSION = 6, 8, 6, 10
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def require_plain(body: bytes) -> None:
    """Refuses a stream of compressed buffers: a few bytes of it may unpack to more than the machine holds.

    What is not compressed takes no more memory than the body, whose size is bounded already.

    Args:
        body: An Arrow IPC stream.

    Raises:
        Refused: 400 where a batch is compressed.
        ArrowException, ValueError: The bytes are no such stream.
    """
    import pyarrow as pa

    # A reader of messages ends at the end marker, and at the end of the bytes.
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body)):
        if _compressed(memoryview(message.metadata)):
            raise malformed("an Arrow stream whose buffers are not compressed", "a compressed one",
                            "write it without compression, as pyarrow and polars do by default")  # fmt: skip


def _compressed(metadata: memoryview) -> bool:
    from flatbuffers import encode, number_types
    from flatbuffers.table import Table

    data = bytes(metadata)
    try:
        message = Table(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))
        at = message.Offset(_HEADER_TYPE)
        kind = message.Get(number_types.Uint8Flags, message.Pos + at) if at else 0
        header = _child(message, _HEADER)
        if kind == _DICTIONARY_BATCH and header is not None:
            header = _child(header, _DICTIONARY_DATA)
        if kind not in (_DICTIONARY_BATCH, _RECORD_BATCH) or header is None:
            return False
        return bool(header.Offset(_COMPRESSION))
    except (struct.error, IndexError, TypeError) as error:
        raise ValueError("a damaged message") from error


def _child(table: Any, field: int) -> Any:
    from flatbuffers.table import Table

    at = table.Offset(field)
    return Table(table.Bytes, table.Indirect(table.Pos + at)) if at else None
