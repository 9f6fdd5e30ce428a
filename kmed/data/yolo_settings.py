"""The file beside YOLO's boxes that names classes and parts: YAML, Darknet's .data, or a list."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from kmed.data.label_kinds import split_part
from kmed.data.sample import DataError

#: Lists of the names of classes, one a line, as Darknet and annotation programs write them.
NAME_LISTS = ("classes.txt", "obj.names", "labels/classes.txt")
_KEY = re.compile(r"([A-Za-z_]\w*)\s*[:=]\s*(.*)")
_NUMBERED = re.compile(r"(\d+)\s*:\s*(.+)")


class YoloSettings(NamedTuple):
    """What such a file says.

    Attributes:
        file: its path, or None where there is none.
        names: of the classes in the order of their indices, or None.
        parts: "train", "validation", "test" -> folders of images, or text files that list images.
    """

    file: Path | None
    names: tuple[str, ...] | None
    parts: dict[str, tuple[Path, ...]]


def yolo_settings(path: Path) -> YoloSettings:
    """Reads what lies beside YOLO's boxes.

    Of YAML only what these files have is read: `key: value`, lists in brackets or with dashes, and
    a table of numbered names.

    Reference: https://docs.ultralytics.com/datasets/detect/ (dataset YAML);
    https://github.com/AlexeyAB/darknet (.data and .names).

    Args:
        path: a .yaml, .yml or .data file, or a folder that may have one, or one of `NAME_LISTS`.

    Returns:
        The names and parts that were found.

    Raises:
        DataError: several such files; names that cannot be read; a part that is not there.
    """
    if path.is_dir():
        found = [p for s in ("*.yaml", "*.yml", "*.data") for p in sorted(path.glob(s))]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise DataError(f"{path}: holds several of {names}; give the path of one")
        lists = [path / name for name in NAME_LISTS if (path / name).is_file()]
        lists += sorted(path.glob("*.names"))
        if not found:
            return YoloSettings(None, _listed(lists[0]) if lists else None, {})
        path = found[0]
    content = _parsed(path)
    names = content.get("names")
    root = Path(path.parent, _text(content.get("path", ""), path))
    if isinstance(names, str) and names:  # Darknet's .data gives a file
        names = _listed(_there(Path(names), path))
    parts: dict[str, tuple[Path, ...]] = {}
    for key, value in content.items():
        part = split_part(key)
        if part and value:
            values = value if isinstance(value, tuple) else (value,)
            parts[part] = tuple(_there(Path(root, place), path) for place in values)
    return YoloSettings(path, tuple(names) if names else None, parts)


def _parsed(path: Path) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    key = ""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    text = iter(enumerate(lines, 1))
    for number, line in text:
        where = f"{path}, line {number}"
        plain = _without_comment(line)
        if not plain.strip():
            continue
        match = _KEY.fullmatch(plain.strip())
        if match and not line[0].isspace():
            key, value = match.groups()
            while value[:1] in "[{" and value[:1] and value[-1] not in "]}":  # goes on below
                value += " " + _without_comment(next(text, (0, "]"))[1]).strip()
            found[key] = _value(value, where)
            continue
        entry = plain.strip()
        item = _NUMBERED.fullmatch(entry)
        if entry.startswith("- "):
            found[key] = (*(found.get(key) or ()), _text(entry[2:].strip(), where))
        elif item and key == "names":
            known = found.get(key) or ()
            if int(item.group(1)) != len(known):
                raise DataError(f"{where}: names must be numbered 0, 1, 2 ...; received {entry!r}")
            found[key] = (*known, _text(item.group(2), where))
    return found


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", line).rstrip()


def _value(value: str, where: str) -> str | tuple[str, ...]:
    if value[:1] == "[":
        inner = value[1:-1].strip().rstrip(",")
        items = re.findall(r"""\s*("[^"]*"|'[^']*'|[^,]+)\s*(?:,|$)""", inner)
        return tuple(_text(item.strip(), where) for item in items)
    if value[:1] == "{":
        pairs = [_NUMBERED.fullmatch(item.strip()) for item in value[1:-1].split(",")]
        if not all(pairs) or [int(pair.group(1)) for pair in pairs] != list(range(len(pairs))):
            raise DataError(f"{where}: names must be numbered 0, 1, 2 ...; received {value!r}")
        return tuple(_text(pair.group(2).strip(), where) for pair in pairs)
    return _text(value, where)


def _text(value: str, where) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text; received {value!r}")
    if value[:1] in ("'", '"'):
        try:
            return str(ast.literal_eval(value))
        except (ValueError, SyntaxError) as error:
            raise DataError(f"{where}: cannot read {value!r}") from error
    return value


def _listed(path: Path) -> tuple[str, ...]:
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        raise DataError(f"{path}: needs the name of a class in each line")
    return tuple(names)


def _there(place: Path, settings: Path) -> Path:
    # Exports are moved about, and some name the folder from one that is below the file.
    below = [part for part in place.parts if part != ".."]
    tails = (settings.parent.joinpath(*below[-count:]) for count in (2, 1))
    for path in (place, settings.parent / place, *tails):
        if path.exists():
            return path
    raise DataError(f"{settings}: {place} is not there")
