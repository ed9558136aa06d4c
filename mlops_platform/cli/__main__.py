"""``python -m mlops_platform.cli``, where no script is installed."""

from mlops_platform.cli import main

main()
