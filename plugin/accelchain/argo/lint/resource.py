# SPDX-License-Identifier: Apache-2.0
"""Templates that create a DataFlow by Argo's ``resource``: the manifest is checked like a body of the plugin."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from accelchain.argo.core.body import KEY
from accelchain.argo.core.documents import Place
from accelchain.argo.core.unknown import JsonObject
from accelchain.argo.core.yaml_text import UnsureError, read
from accelchain.argo.lint.chain import DATAFLOW
from accelchain.argo.lint.finding import Known
from accelchain.argo.lint.template import Told, check_template

_BARE: Final = re.compile(r"(?<=[:\s,\[])\{\{.*?\}\}(?=\s*(?:[,\]}\n]|$))", re.DOTALL)
"""A variable of Argo's without quotes, as numbers and booleans are written."""
_MANIFEST: Final = "resource.manifest"


def as_plugin(place: Place) -> Place | None:
    """Return a template that creates a DataFlow as one of the plugin's with its spec; None: it creates none."""
    resource = place.template.get("resource")
    text = resource.get("manifest") if isinstance(resource, dict) else None
    spec = _spec(text) if isinstance(text, str) and "accelchain.io/" in text else None
    if spec is None:
        return None
    body = {"node": "{{node.name}}", "attempt": "{{retries}}", "dataflow": spec}
    kept: JsonObject = {key: place.template[key] for key in ("name", "inputs") if key in place.template}
    return dataclasses.replace(place, template={**kept, "plugin": {KEY: body}}, defaults={})


def check_manifest(created: Place, known: Known) -> Iterator[Told]:
    """Yield what is wrong or odd in the manifest of what ``as_plugin`` returned."""
    for path, message, odd in check_template(created, known):
        if path.startswith(DATAFLOW):
            yield f"{_MANIFEST}: spec{path.removeprefix(DATAFLOW)}", message, odd


def _spec(text: str) -> JsonObject | None:
    for manifest in (text, _BARE.sub(lambda tag: repr(tag[0]), text)):
        try:
            documents = read(manifest)
        except UnsureError:
            continue
        for document in documents:
            if isinstance(document, dict) and document.get("kind") == "DataFlow":
                return document["spec"] if isinstance(document.get("spec"), dict) else None
    return None
