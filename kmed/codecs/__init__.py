"""Codecs: ground truth to training target and output to findings, both directions in one class."""
