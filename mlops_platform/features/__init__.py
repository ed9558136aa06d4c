"""Feature tables, and the Feast registry and online store over them."""
