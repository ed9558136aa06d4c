"""The doors to the outside: one file per engine, and the home where all state lives."""
