"""The online store: the newest row of each entity, packed, for a model that answers at once.

Feast sees it as an online store among others; the scoring path reads columns from it without importing Feast.
"""

from mlops_platform.online_store.features import OnlineFeatures, Status
from mlops_platform.online_store.few import FEW, FewRows
from mlops_platform.online_store.packed import PackedStore, ViewRows
from mlops_platform.online_store.view import PackedView

__all__ = ["FEW", "FewRows", "OnlineFeatures", "PackedStore", "PackedView", "Status", "ViewRows"]
