"""The online store: the newest row of each entity, packed, for a model that answers at once.

Feast sees it as an online store among others; the scoring path reads columns from it without importing Feast.
"""

from mlops_platform.online_store.features import OnlineFeatures, Status

__all__ = ["OnlineFeatures", "Status"]
