"""Architectures: one function each, which returns a functional keras.Model."""

from kmed.applications.unet import unet, valid_input_size, valid_output_size

__all__ = ["unet", "valid_input_size", "valid_output_size"]
