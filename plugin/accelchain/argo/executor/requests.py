# SPDX-License-Identifier: Apache-2.0
"""What the agent asks: argoproj/argo-workflows v4.1.2, pkg/plugins/executor: ExecuteTemplateArgs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from accelchain.argo.core.identity import WorkflowId

JsonObject = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_LONGEST = {"namespace": 63, "name": 253, "uid": 63}
"""Characters; namespace and uid become labels."""


class RequestError(Exception):
    """The request has no form that can be worked on; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Request:
    """A template to execute."""

    workflow: WorkflowId
    template: JsonObject


def parse(body: bytes) -> Request:
    """Read a request.

    Raises:
        RequestError: it is no JSON, or lacks what Argo always sends.
    """
    try:
        document = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        what = "too deep" if isinstance(error, RecursionError) else str(error)
        raise RequestError(f"the request is no JSON ({what}).") from None
    template = _mapping(document, "template")
    metadata = _mapping(_mapping(document, "workflow"), "metadata", "workflow.")
    return Request(WorkflowId(*(_identifier(metadata, key) for key in ("namespace", "name", "uid"))), template)


def _mapping(parent: Any, key: str, path: str = "") -> JsonObject:
    value = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(value, dict):
        raise RequestError(f"{path}{key}: the request must hold a mapping here.")
    return value


def _identifier(metadata: JsonObject, key: str) -> str:
    value = metadata.get(key)
    if not isinstance(value, str) or len(value) > _LONGEST[key] or not _NAME.fullmatch(value):
        raise RequestError(f"workflow.metadata.{key}: the request must hold the Workflow's {key} here.")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
