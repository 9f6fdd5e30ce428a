"""kmed: Keras applications for medical images, from files to a served model and its findings.

The rooms are attributes and are imported when they are first touched, so that `import kmed` and
the command line's `--help` cost no start of TensorFlow.

Example:
    >>> import kmed
    >>> kmed.__version__
    '0.1.0'
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = frozenset(
    {
        "applications",
        "catalog",
        "codecs",
        "data",
        "distribute",
        "explanations",
        "export",
        "index",
        "layers",
        "losses",
        "metrics",
        "ops",
        "preprocessors",
        "results",
        "tasks",
        "trainers",
        "uncertainty",
        "weights",
    }
)

__all__ = ["__version__"]


def __getattr__(name: str) -> ModuleType:
    """Imports a room when it is first touched."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
