"""The judge of a rollout: both versions on the same live questions, as labels become known."""
