"""Variants of one builder, which differ in arguments and not in code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras


def variant(
    builder: Callable[..., keras.Model], name: str, title: str, **fixed: Any
) -> Callable[..., keras.Model]:
    """Make a builder of its own from a row of another's table.

    Args:
        builder: function of keyword arguments, `name` among them.
        name: the variant's name, also the default name of its models.
        title: its docstring's first sentence.
        **fixed: arguments that make the variant; it does not take them itself.

    Returns:
        A function with the signature of the remaining arguments.

    Example:
        >>> def build(*, depth, name="net"):
        ...     return f"{name} of depth {depth}"
        >>> variant(build, "net7", "The net of seven.", depth=7)()
        'net7 of depth 7'
    """
    parameters = inspect.signature(builder).parameters.values()
    kept = [p.replace(default=name) if p.name == "name" else p for p in parameters]
    signature = inspect.Signature([p for p in kept if p.name not in fixed])

    def build(**options: Any) -> keras.Model:
        unknown = [option for option in options if option not in signature.parameters]
        if unknown:
            known = ", ".join(signature.parameters)
            raise TypeError(f"{name}() takes no argument {unknown[0]!r}; it takes {known}")
        return builder(**{"name": name} | options | fixed)

    build.__name__ = build.__qualname__ = name
    build.__module__ = builder.__module__
    build.__doc__ = "\n".join([title, *(inspect.getdoc(builder) or "").split("\n")[1:]])
    build.__signature__ = signature
    return build
