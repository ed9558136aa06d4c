"""Shipped projects: declarations and pure functions, nothing of the platform but the spec."""
