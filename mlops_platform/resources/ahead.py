"""Imports what comes next while this process waits for another one.

MLflow alone costs six CPU seconds to import; a station that waits for its training program has the time.
"""

import contextlib
import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def importing(*modules: str) -> Iterator[None]:
    """Imports modules in a thread beside the block, and waits for them at its end if it ends well.

    The block must do nothing but wait: two threads that import at once can see each other's halves.

    Args:
        modules: Names. One that cannot be imported is told where it is used, not here.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        for module in modules:
            thread.submit(importlib.import_module, module)
        try:
            yield
        except BaseException:
            # Nothing comes next: whoever cancelled waits for no more than the import that is under way.
            thread.shutdown(wait=False, cancel_futures=True)
            raise
