"""The registry: model versions and aliases in MLflow, and who moved the champion, when and why."""
