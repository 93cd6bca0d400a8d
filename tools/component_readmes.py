# SPDX-License-Identifier: Apache-2.0
"""Writes the README of each component in components/ from its docstring, interface, metadata and example.

``python tools/component_readmes.py`` writes them; with ``--check`` it names those that are not what it would write, and
ends with 1. The layout is that of kubeflow/pipelines-components.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docstring_parser
import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = ROOT / "components"
KEYS = ("name", "stability", "dependencies", "tags", "lastVerified", "ci", "links")
"""Of metadata.yaml, in this order."""
STABILITIES = ("experimental", "alpha", "beta", "stable")


class ReadmeError(Exception):
    """A component that can't be described; the message names the file and what to do."""


def folders() -> list[Path]:
    """Return the folders of all components."""
    return sorted(file.parent for file in COMPONENTS.glob("*/*/component.py"))


def readme(folder: Path) -> str:
    """Return the README of a component.

    Raises:
        ReadmeError: metadata.yaml lacks something, or an input or output is not described.
    """
    metadata = _metadata(folder / "metadata.yaml")
    component = getattr(importlib.import_module(".".join(folder.relative_to(ROOT).parts)), folder.name)
    spec = component.component_spec
    text = docstring_parser.parse(_function_docstring(folder))
    described = {parameter.arg_name: (parameter.description or "").replace("\n", " ") for parameter in text.params}
    names = [*(spec.inputs or {}), *(spec.outputs or {})]
    if lacking := [name for name in names if not described.get(name)]:
        raise ReadmeError(f"{folder.name}/component.py: {lacking[0]} is not described: add it under Args.")
    if extra := [name for name in described if name not in names]:
        raise ReadmeError(f"{folder.name}/component.py: {extra[0]} is described, and is neither input nor output.")
    lines = [f"# {folder.name}", "", text.short_description or "", ""]
    if text.long_description:
        lines += [text.long_description, ""]
    lines += ["## Inputs", "", "| name | type | default | |", "|---|---|---|---|"]
    lines += [f"| `{n}` | {_type(i)} | {_default(i)} | {described[n]} |" for n, i in (spec.inputs or {}).items()]
    lines += ["", "## Outputs", "", "| name | type | |", "|---|---|---|"]
    lines += [f"| `{name}` | {_type(output)} | {described[name]} |" for name, output in (spec.outputs or {}).items()]
    example = (folder / "example_pipelines.py").read_text(encoding="utf-8").partition('"""\n\n')[2].strip()
    lines += ["", "## Example", "", "```python", example, "```", "", "## Metadata", "", *_facts(metadata), ""]
    return "\n".join(lines)


def _function_docstring(folder: Path) -> str:
    tree = ast.parse((folder / "component.py").read_text(encoding="utf-8"))
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == folder.name)
    return ast.get_docstring(function) or ""


def _metadata(file: Path) -> dict[str, Any]:
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    where = f"{file.parent.name}/{file.name}"
    if list(found) != [key for key in KEYS if key in found] or not set(KEYS[:3]) | {"lastVerified"} <= set(found):
        raise ReadmeError(f"{where}: its keys are {', '.join(found)}: give {', '.join(KEYS)}, in this order.")
    if found["name"] != file.parent.name:
        raise ReadmeError(f"{where}: name is {found['name']!r}: give the folder's, {file.parent.name}.")
    if found["stability"] not in STABILITIES:
        raise ReadmeError(f"{where}: stability is {found['stability']!r}: choose from {', '.join(STABILITIES)}.")
    return dict(found)


def _type(port: Any) -> str:
    return str(port.type).partition("@")[0].removeprefix("system.")


def _default(port: Any) -> str:
    if port.default is not None:
        return f"`{port.default}`"
    return "none" if port.optional else "**required**"


def _facts(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield f"- stability: {metadata['stability']}"
    for kind, listed in metadata["dependencies"].items():
        for each in listed:
            yield f"- {'Kubeflow ' if kind == 'kubeflow' else ''}{each['name']} {each['version']}"
    yield f"- last verified: {metadata['lastVerified']:%Y-%m-%d}"
    if metadata.get("tags"):
        yield f"- tags: {', '.join(metadata['tags'])}"
    for name, target in (metadata.get("links") or {}).items():
        yield f"- {name}: [{target}](../../../{target})"


def main(arguments: list[str]) -> int:
    """Write the READMEs, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    sys.path.insert(0, str(ROOT))
    wrong = 0
    for folder in folders():
        try:
            text = readme(folder)
        except ReadmeError as error:
            print(error, file=sys.stderr)
            return 1
        file = folder / "README.md"
        if not check:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            wrong = 1
            print(f"{file.relative_to(ROOT)} is old: run tools/component_readmes.py", file=sys.stderr)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
