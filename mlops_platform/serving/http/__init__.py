"""The HTTP face of the live models: routes, schemas, limits, tokens, health, metrics, traces and logs."""
