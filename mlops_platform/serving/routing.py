"""Which callers a canary answers: entities are divided by a hash, the same way in every process and after restarts."""

import hashlib
import json

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.spec import Rollout

_SPAN = 2.0**64


def canary_rows(rollout: Rollout, keys: pl.DataFrame, *, salt: str) -> npt.NDArray[np.bool_]:
    """Which rows a canary answers; of a shadow none.

    Each entity has a place between 0 and 1 by the hash of its keys, and the canary answers those below the share. So an
    entity is always on the same side, whichever process asks, and a share that grows moves only entities to the canary.

    Args:
        rollout: As declared.
        keys: Entity keys of N rows; those of ``rollout.sticky`` are hashed, or all where none are named.
        salt: What names the rollout, say the challenger's digest: so not the same entities are first each time.

    Returns:
        bool [N].

    Raises:
        PlatformError: A sticky key is not among the keys.
    """
    if rollout.kind == "shadow":
        return np.zeros(keys.height, dtype=np.bool_)
    return places(keys, rollout.sticky, salt=salt) < rollout.share


def places(keys: pl.DataFrame, sticky: tuple[str, ...], *, salt: str) -> npt.NDArray[np.float64]:
    """Place of each row's entity, float64 [N], even over [0, 1): BLAKE2b of the salt and the keys as text.

    Args:
        keys: Entity keys of N rows.
        sticky: Names of those that count, in this order; none: all, by name, in whichever order they come.
        salt: What names the rollout.

    Raises:
        PlatformError: A sticky key is not among the keys.
    """
    names = list(sticky) or sorted(keys.columns)
    missing = [name for name in names if name not in keys.columns]
    if missing or not names:
        raise PlatformError(
            required=f"the sticky keys {', '.join(names) or 'of the rollout'}", found=f"keys {', '.join(keys.columns)}",
            remedy="name entity keys of the model in Rollout.sticky",
        )  # fmt: skip
    # As text a key is the same whether it came as an int32 or an int64.
    rows = keys.select(pl.col(name).cast(pl.String) for name in names).rows()
    secret = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    known: dict[tuple[str | None, ...], float] = {}
    for row in rows:
        if row not in known:
            text = json.dumps(row, ensure_ascii=False).encode()
            found = hashlib.blake2b(text, digest_size=8, key=secret).digest()
            known[row] = int.from_bytes(found, "big") / _SPAN
    # A hash within half a unit of the top would be rounded up to 1.
    return np.minimum(np.array([known[row] for row in rows], dtype=np.float64), np.nextafter(1.0, 0.0))
