"""What a user declares: raw tables, feature tables, models, and the project that holds them.

Everything here is frozen, keyword-only and validated when it is made; nothing here imports an engine. Functions and
modules are named by string, ``package.module:name``, so that loading a declaration loads no torch and so that the
code behind a station can be hashed without importing it.
"""

from mlops_platform.spec.compute import Compute, Saving
from mlops_platform.spec.fields import duration
from mlops_platform.spec.model import Examples, Gate, Model, Split
from mlops_platform.spec.monitoring import Monitoring
from mlops_platform.spec.network import Network, Sequence
from mlops_platform.spec.project import Project
from mlops_platform.spec.retraining import Retraining
from mlops_platform.spec.serving import Rollout, Serving
from mlops_platform.spec.skew import Skew
from mlops_platform.spec.tables import DTYPES, Column, FeatureTable, RawTable, columns
from mlops_platform.spec.task import LOWER_IS_BETTER, METRICS, Binary, Forecast, Task, metrics_in, task_of
from mlops_platform.spec.tuning import Between, OneOf, Tuning, Whole

__all__ = [
    "DTYPES",
    "LOWER_IS_BETTER",
    "METRICS",
    "Between",
    "Binary",
    "Column",
    "Compute",
    "Examples",
    "FeatureTable",
    "Forecast",
    "Gate",
    "Model",
    "Monitoring",
    "Network",
    "OneOf",
    "Project",
    "RawTable",
    "Retraining",
    "Rollout",
    "Saving",
    "Sequence",
    "Serving",
    "Skew",
    "Split",
    "Task",
    "Tuning",
    "Whole",
    "columns",
    "duration",
    "metrics_in",
    "task_of",
]
