"""Evaluations and gate verdicts: how good a checkpoint is on rows it never saw, against whom, and is that enough?

`evaluate` scores the holdout by challenger, champion and a logistic regression and leaves a report; `gate` judges the
report by the declared conditions and leaves a verdict. Promotion itself belongs to the registry.
"""
