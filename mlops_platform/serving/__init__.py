"""Answers: predictions by the champion, each in the prediction log with what it used."""
