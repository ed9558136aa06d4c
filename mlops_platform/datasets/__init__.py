"""Datasets: labelled examples with the features known at each one's time, divided by time, sealed by content."""
