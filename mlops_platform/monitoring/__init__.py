"""What becomes of the answers: how good the live model is, told as labels arrive."""
