"""Whether each value of the chart is in its schema, described in the README and set by a test, and nothing else is.

And whether the images are listed where people look for them."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent / "chat-server"


def in_schema(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The values that the schema knows. Objects without properties are Kubernetes' own: they are one value."""
    if path and not schema.get("properties"):
        yield path
    for key, below in schema.get("properties", {}).items():
        yield from in_schema(below, f"{path}.{key}".lstrip("."))


def in_values(values: Any, known: set[str], path: str = "") -> Iterator[str]:
    """The values that there are, as deep as the schema knows them."""
    if path in known or not isinstance(values, dict) or not values:
        yield path
    else:
        for key, below in values.items():
            yield from in_values(below, known, f"{path}.{key}".lstrip("."))


def in_readme(text: str) -> dict[str, str]:
    """The description of each value in the README's table."""
    return dict(re.findall(r"^\| `([^`]+)` \| .* \| (.*?) ?\|$", text, re.MULTILINE))


def in_tests(known: set[str]) -> Iterator[str]:
    """The values that tests set, to see what they do. A part of a value of Kubernetes' own counts for all of it."""
    for path in CHART.glob("tests/*_test.yaml"):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for key, value in test.get("set", {}).items():
                for found in in_values(value, known, key):
                    yield from (name for name in known if f"{found}.".startswith(f"{name}."))


def images() -> Iterator[str]:
    """The images of the chart as values.yaml has them; the server's tag is the appVersion."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    for image in (values["image"], values["mysql"]["image"], values["k6"]["image"]):
        yield f"{image['registry']}/{image['repository']}:{image['tag'] or version}"


def main() -> int:
    """The exit status says whether everything is complete."""
    schema = set(in_schema(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))))
    values = set(in_values(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), schema))
    readme = in_readme((CHART / "README.md").read_text(encoding="utf-8"))
    # The table goes deeper where a default has several lines, which are described above them.
    described = {key for key, description in readme.items() if description.strip()}
    # Artifact Hub reads the one, who copies images to a mirror the other.
    listings = [CHART / "Chart.yaml", CHART.parent.parent / "docs" / "deploy.md"]
    gaps = {
        **{f"not in {path.name}": {image for image in images() if image not in path.read_text(encoding="utf-8")} for path in listings},
        "not in values.schema.json": values - schema,
        "not in values.yaml": schema - values,
        "without a description": values - described,
        "not set by any test": values - set(in_tests(values)),
    }
    for gap, keys in gaps.items():
        for key in sorted(keys):
            print(f"{key}: {gap}")
    return 1 if any(gaps.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
