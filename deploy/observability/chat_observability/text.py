"""Writes documents as YAML and JSON that people can read."""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][\w :./#-]*[\w]|\d+[smhd]")


def as_json(document: Any) -> str:
    """JSON with a line for each member."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_yaml(document: dict[str, Any], heading: str) -> str:
    """YAML, with text of several lines or quotes as blocks."""
    return "\n".join([f"# {heading}", *_mapping(document, "")]) + "\n"


def _mapping(mapping: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _mapping(value, f"{indent}  ")
        elif isinstance(value, list):
            yield f"{indent}{key}:"
            for item in value:
                first, *rest = _mapping(item, f"{indent}    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            yield from _scalar(key, value, indent)


def _scalar(key: str, value: Any, indent: str) -> Iterator[str]:
    text = str(value)
    if "\n" in text or '"' in text:
        yield f"{indent}{key}: |-"
        yield from (f"{indent}  {line}" for line in text.split("\n"))
    elif _PLAIN.fullmatch(text) and ": " not in text and " #" not in text:
        yield f"{indent}{key}: {text}"
    else:
        yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"
