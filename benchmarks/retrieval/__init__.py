"""What the benchmarks of retrieval share: cells, their data, the programs that answer them, limits, one measurement."""
