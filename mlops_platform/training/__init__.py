"""Training: a dataset in, a checkpoint out, made by a program of its own.

`assets.py` and `checks.py` are the Dagster shell; `job.py` is what they ask of the program and `record.py` what it
answers; `program/` is the program itself, the only place where torch and Lightning are imported.
"""
