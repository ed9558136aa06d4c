"""What a reference ``package.module:name`` names, imported.

A module of its own: it looks names up that no reader of the source can know, so each closure holds it whole.
"""

import importlib
from typing import Any


def resolve(reference: str) -> Any:
    """Imports what a reference ``package.module:name`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
