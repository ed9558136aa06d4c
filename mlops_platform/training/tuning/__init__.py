"""Tuning: a study of trainings in, the best configuration out.

`study.py` is the door to Optuna and its database, `dialogue.py` how the study and the training program talk while
trials run, `trials.py` how they are run, `record.py` what is left to read, `best.py` how a declaration points to it;
`assets.py` and `checks.py` are the Dagster shell.
"""
