"""The programs behind the figures of ``docs/benchmarks.md``; ``python -m benchmarks`` runs them.

Each is one program: ``python -m benchmarks.NAME --help`` says what it claims, against which peer, and how it measures.
"""
