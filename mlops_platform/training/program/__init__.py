"""The training program: ``python -m mlops_platform.training.program``. Only it imports torch and Lightning."""

import os

# Read when torch loads OpenMP, hence here. Threads that spin while they wait for each other starve the thread they
# wait for as soon as anything else wants a core: 150,000 rows x 4 epochs took 77 s so beside three busy processes on
# two cores, and 5 s with threads that sleep, to the same bits.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Arrow's usual allocator reserves a gibibyte at once, which counts where memory is bounded by RLIMIT_DATA.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
