"""Provenance: the walk from one answer back to the rows and files that made it. Reads everything, writes nothing."""
