"""Pure tensor functions: label maps, ordered classes."""
