"""Settings as people type them: `epochs=20`, `size=256,256`, `network.padding=valid`."""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def assigned(
    settings_class: type,
    builder: Callable[..., Any],
    defaults: Mapping[str, Any],
    assignments: Iterable[str],
) -> Any:
    """Make settings of defaults and of assignments in text.

    A value is JSON, a Python literal, a list without its brackets, or plain text: whichever first
    has the type of its field. `field.key=value` sets one key of a field that is a dictionary.

    Args:
        settings_class: a task's `Settings`, a frozen dataclass with `replaced`.
        builder: function that the settings' `network` is given to, for its arguments' names.
        defaults: values of some fields.
        assignments: texts such as "epochs=20"; later ones win.

    Returns:
        The settings.

    Raises:
        ValueError: for an unknown name, with the nearest ones, or a value of another type.

    Example:
        >>> from kmed.applications import unet
        >>> from kmed.tasks.segmentation.settings import Settings
        >>> texts = ["size=64,64", "network.padding=valid", "fit=patch"]
        >>> settings = assigned(Settings, unet, {"name": "tiny"}, texts)
        >>> settings.size, settings.network
        ((64, 64), {'padding': 'valid'})
    """
    known = settings_class(**defaults)
    hints = typing.get_type_hints(settings_class)
    values = dict(defaults)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"a setting is given as KEY=VALUE; received {assignment!r}")
        field, dot, key = name.partition(".")
        if field not in hints:
            known.replaced(**{field: text})  # tells the nearest names
        if dot:
            old = values.get(field, getattr(known, field))
            if not isinstance(old, Mapping):
                raise ValueError(f"`{field}` has no parts; received {assignment!r}")
            values[field] = {**old, key: next(_readings(text))}
        else:
            values[field] = _value(field, text, hints[field])
    _check_arguments(builder, values.get("network", {}))
    return settings_class(**values)


def _check_arguments(builder: Callable[..., Any], network: Mapping[str, Any]) -> None:
    """A misspelt argument is told here, before any data is read."""
    parameters = inspect.signature(builder).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [name for name in parameters if name not in ("input_shape", "classes")]
    for name in network:
        if name not in known:
            near = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"`network.{name}` is no argument of {builder.__name__}; {hint}")


def _value(name: str, text: str, hint: Any) -> Any:
    for value in _readings(text):
        if _fits(value, hint):
            return tuple(value) if isinstance(value, list) else value
    wanted = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
    raise ValueError(f"`{name}` takes {wanted}; received {text!r}")


def _readings(text: str):
    """What a text can mean, the likeliest first; the text itself is the last."""
    for read in (json.loads, ast.literal_eval, lambda t: json.loads(f"[{t}]")):
        try:
            yield read(text)
        except (ValueError, SyntaxError):
            continue
    yield [part.strip() for part in text.split(",")] if "," in text else text
    yield text


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(one, arguments[0]) for one in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint in (int, float):
        wanted = int if hint is int else int | float
        return isinstance(value, wanted) and not isinstance(value, bool)
    return hint is Any or isinstance(value, origin or hint)
