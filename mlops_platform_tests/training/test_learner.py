"""The learner's own sums and refusals."""

import numpy as np
import pytest

from mlops_platform.errors import TrainingError
from mlops_platform_tests.training.tiny import network


def test_roc_auc_is_the_share_of_pairs_in_order_equals_counting_half() -> None:
    from mlops_platform.training.program.objective import roc_auc

    chance = np.random.default_rng(0)
    label, score = chance.integers(0, 2, 300), chance.integers(0, 20, 300)
    ahead = score[label == 1][:, None] - score[label == 0][None, :]
    assert roc_auc(label, score) == pytest.approx(((ahead > 0) + 0.5 * (ahead == 0)).mean(), abs=1e-12)


def test_a_network_that_forgets_the_squeeze_is_told() -> None:
    import torch

    from mlops_platform.training.program.learner import Learner
    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform_tests.training.networks import Wide

    program = ScoringProgram(Normaliser(torch.zeros(2), torch.ones(2)), Wide(numeric=4, cardinalities=(3,)))
    learner = Learner(program, network("Wide"), 1, lambda epoch: None)
    with pytest.raises(TrainingError, match=r"squeeze\(1\)"):
        learner.training_step((torch.zeros(5, 2), torch.zeros(5, 1, dtype=torch.int64), torch.zeros(5)), 0)
