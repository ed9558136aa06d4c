"""What a trained model is once torch is gone: an exported program, and how rows become its inputs.

The trainer encodes its rows with the same `Encoding`, so that training and scoring cannot differ.
"""

from mlops_platform.scoring.encoding import Encoding, Vocabulary
from mlops_platform.scoring.errors import InputError
from mlops_platform.scoring.scorer import PROGRAM, SCORING, Checkpoint, Scorer

__all__ = ["PROGRAM", "SCORING", "Checkpoint", "Encoding", "InputError", "Scorer", "Vocabulary"]
