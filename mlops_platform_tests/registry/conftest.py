"""The alias of a home in which a better version displaced a poor one."""

import pytest

from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor


@pytest.fixture
def moved(moved_home: Home) -> ChampionAlias:
    """Version 1 was live and version 2 is."""
    history = PromotionHistory(moved_home, "pumps", "pump_repair")
    return ChampionAlias(history=history, door=MlflowDoor(moved_home, "pumps"), name="pumps.pump_repair")
