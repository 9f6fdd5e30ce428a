"""Trainers: custom training steps, one algorithm a file; the networks are passed in."""
