"""Nearest neighbours on disk: embeddings with their ids and facts, kept safely and found fast."""

from kmed.index.errors import IndexBusyError, VectorIndexError
from kmed.index.hits import Hits
from kmed.index.vector_index import VectorIndex

__all__ = ["Hits", "IndexBusyError", "VectorIndex", "VectorIndexError"]
