"""Labels on which a ranking can be judged at all."""

import numpy as np

from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.scoring.metrics import Labels


def require_two_classes(labels: Labels, *, where: str) -> None:
    """Refuses labels on which no ranking can be judged.

    Raises:
        EvaluationError: No rows, or rows of one class only.
    """
    positives, rows = int(np.count_nonzero(labels)), len(labels)
    if 0 < positives < rows:
        return
    raise EvaluationError(
        required=f"labels of both classes in {where}",
        found=f"{rows} rows, {positives} of them positive",
        remedy="choose a longer span for it in Model.split, or land more data",
    )
