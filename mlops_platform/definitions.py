"""The code location: the shipped project's lineage."""

from mlops_platform.lineage import build_definitions
from mlops_platform.projects.flights.project import PROJECT

defs = build_definitions(PROJECT)
