"""Train/serve skew: what a model is told when it answers, beside what it learned from."""
