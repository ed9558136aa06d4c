"""The prediction log: the record of every answer given, batch or live, with what it used.

A Delta table a model. Live answers come to it by way of journals (``serving/journal.py`` writes them), from which they
can be read at once; here is what writers, the shipping between the two, and readers of several rooms share.
"""
