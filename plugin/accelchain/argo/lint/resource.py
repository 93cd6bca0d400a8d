# SPDX-License-Identifier: Apache-2.0
"""Templates that create a DataFlow by Argo's ``resource``: the manifest is checked like a body of the plugin."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from accelchain.argo.core.body import KEY
from accelchain.argo.core.documents import Place
from accelchain.argo.core.unknown import JsonObject
from accelchain.argo.lint.chain import DATAFLOW
from accelchain.argo.lint.finding import Known
from accelchain.argo.lint.template import Told, check_template

_BARE: Final = re.compile(r"(?<=[:\s,\[])\{\{.*?\}\}(?=\s*(?:[,\]}\n]|$))", re.DOTALL)
"""A variable of Argo's without quotes, as numbers and booleans are written."""
_MANIFEST: Final = "resource.manifest"


def flow_of(template: JsonObject) -> JsonObject | None:
    """Return the DataFlow that a template creates, with Argo's variables in it; None: it creates none."""
    resource = template.get("resource")
    text = resource.get("manifest") if isinstance(resource, dict) else None
    if not isinstance(text, str) or "accelchain.io/" not in text:
        return None
    for manifest in (text, _BARE.sub(lambda tag: repr(tag[0]), text)):
        try:
            document: Any = yaml.safe_load(manifest)
        except yaml.YAMLError:
            continue
        if isinstance(document, dict) and document.get("kind") == "DataFlow":
            return document
    return None


def check_resource(place: Place, known: Known) -> Iterator[Told]:
    """Yield what is wrong or odd in the DataFlow of a template that creates one."""
    flow = flow_of(place.template)
    if flow is None or not isinstance(flow.get("spec"), dict):
        return
    body = {"node": "{{node.name}}", "attempt": "{{retries}}", "dataflow": flow["spec"]}
    kept: JsonObject = {key: place.template[key] for key in ("name", "inputs") if key in place.template}
    for path, message, odd in check_template(
        dataclasses.replace(place, template={**kept, "plugin": {KEY: body}}, defaults={}), known
    ):
        if path.startswith(DATAFLOW):
            yield f"{_MANIFEST}: spec{path.removeprefix(DATAFLOW)}", message, odd
