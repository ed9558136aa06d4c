"""A code location of the pumps project, as a team of its own would write it."""

from mlops_platform.lineage import build_definitions
from mlops_platform_tests.lineage.pumps.project import PROJECT

defs = build_definitions(PROJECT)
