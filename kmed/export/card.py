"""Model cards: what a model was made from, how well it does and what it is not for.

Reference: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

INTENDED_USE = "Research and teaching. Not a medical device: not for diagnosis or treatment."
LIMITS = (
    "Measured on the data named here only. Other scanners, protocols, populations and diseases "
    "can give wrong results without a warning; a person has to look at every result."
)

_DATA = ("name", "fingerprint", "patients", "images", "split_seed", "license", "notes")
_FACTS = (
    "name version description data metrics versions seed command training intended_use limits"
).split()


def write_card(path: str | Path, facts: dict[str, Any]) -> Path:
    """Write card.md and card.json.

    The card goes wherever the model goes, so it takes only the facts named here, and refuses
    others: neither paths of data nor patient ids have a place in it.

    Args:
        path: the folder to write to.
        facts: any of
            name, version, description: of the model;
            data: name, fingerprint (a hash), patients and images (a number for each split),
            split_seed, license, notes;
            metrics: for each name a value, or (value, low, high) with its 95 % interval;
            versions: of each library; seed; training (numbers and words: epochs, minutes ...);
            command: the command line, of which paths are left out;
            intended_use, limits: sentences that replace the default ones.

    Returns:
        The path of card.md.

    Raises:
        ValueError: if a fact is none of these, or a count is not a number for each split.
    """
    unknown = sorted(set(facts) - set(_FACTS))
    data = dict(facts.get("data", {}))
    unknown += [f"data.{key}" for key in sorted(set(data) - set(_DATA))]
    if unknown:
        raise ValueError(
            f"a model card has no place for {', '.join(unknown)}; it takes {', '.join(_FACTS)}, "
            f"and of the data {', '.join(_DATA)}"
        )
    for key in ("patients", "images"):
        if any(not isinstance(n, int) for n in data.get(key, {}).values()):
            raise ValueError(
                f"`data.{key}` must be a number for each split; received {data[key]!r}"
            )
    facts = {"intended_use": INTENDED_USE, "limits": LIMITS, **facts}
    if "command" in facts:
        facts["command"] = without_paths(facts["command"])
    if "metrics" in facts:
        facts["metrics"] = {name: _interval(value) for name, value in facts["metrics"].items()}
    folder = Path(path)
    text = json.dumps(facts, indent=2, ensure_ascii=False, default=_plain)
    (folder / "card.json").write_text(text + "\n", encoding="utf-8")
    (folder / "card.md").write_text(_markdown(json.loads(text)), encoding="utf-8")
    return folder / "card.md"


def without_paths(command: str) -> str:
    """Leave paths of data out of a command line.

    Args:
        command: words separated by spaces.

    Returns:
        The command with every word that holds a path (but a relative one to a Python program)
        replaced by "PATH".

    Example:
        >>> without_paths("python applications/unet.py --data /home/x/doe_john --epochs=3")
        'python applications/unet.py --data PATH --epochs=3'
    """
    words = []
    for word in command.split():
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        program = value.endswith(".py") and not re.match(r"[/\\~]|\w:", value)
        looks_like = re.search(r"[/\\~]|\.(dcm|nii|gz|npz|png|jpe?g|tiff?|json|csv)$", value)
        words.append(f"{option}{equals}PATH" if looks_like and not program else word)
    return " ".join(words)


def _markdown(facts: dict[str, Any]) -> str:
    title = f"# {facts.get('name', 'Model')}"
    lines = [title + (f", version {facts['version']}" if "version" in facts else ""), ""]
    if "description" in facts:
        lines += [facts["description"], ""]
    lines += ["## Intended use", "", facts["intended_use"], "", "## Limits", "", facts["limits"]]
    data = facts.get("data", {})
    if data:
        lines += ["", "## Data", ""]
        lines += [f"- {k.replace('_', ' ')}: {v}" for k, v in data.items() if not _counts(v)]
        counts = {key: value for key, value in data.items() if _counts(value)}
        if counts:
            splits = list(dict.fromkeys(split for value in counts.values() for split in value))
            lines += ["", *_table(["", *splits])]
            lines += [_row([k, *(v.get(s, "") for s in splits)]) for k, v in counts.items()]
    if facts.get("metrics"):
        lines += ["", "## Metrics", "", *_table(["metric", "value", "95 % interval"])]
        for name, metric in facts["metrics"].items():
            low, high = metric.get("low"), metric.get("high")
            interval = "" if low is None else f"{low:.4g} to {high:.4g}"
            lines.append(_row([name, f"{metric['value']:.4g}", interval]))
    made = {k: facts[k] for k in ("command", "seed", "training", "versions") if k in facts}
    if made:
        lines += ["", "## How it was made", ""]
        for key, value in made.items():
            if isinstance(value, dict):
                value = ", ".join(f"{name} {text}" for name, text in value.items())
            lines.append(f"- {key}: `{value}`" if key == "command" else f"- {key}: {value}")
    return "\n".join(lines) + "\n"


def _counts(value) -> bool:
    return isinstance(value, dict)


def _table(header) -> list[str]:
    return [_row(header), _row(["---"] * len(header))]


def _row(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _interval(value) -> dict[str, float]:
    if isinstance(value, dict):
        return value
    values = [float(v) for v in (value if isinstance(value, (list, tuple)) else (value,))]
    if len(values) not in (1, 3):
        raise ValueError(f"a metric is a value or (value, low, high); received {value!r}")
    return dict(zip(("value", "low", "high"), values, strict=False))


def _plain(value):
    if hasattr(value, "tolist"):  # a numpy number or array
        return value.tolist()
    raise TypeError(f"a model card holds numbers, words, lists and tables; received {value!r}")
