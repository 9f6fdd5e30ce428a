"""Pure tensor functions: label maps."""
