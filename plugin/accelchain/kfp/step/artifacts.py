# SPDX-License-Identifier: Apache-2.0
"""Artifacts as they stand in KFP's executor input (pure).

KFP's launcher downloads inputs before, and uploads outputs after a container has run; an artifact's uri says where its
local copy lies (kubeflow/pipelines 2.17, backend/src/v2/component/launcher_v2.go: LocalPathForURI).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accelchain.kfp.step.errors import StepError

_MOUNTS = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/"}
_WORKSPACE = "/kfp-workspace/.artifacts/"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One artifact of a task."""

    name: str
    uri: str
    path: str
    """Of the local copy; the uri itself where KFP keeps none (http, rtsp)."""

    def ending_in(self, ending: str) -> Artifact:
        """Return the artifact with an ending, such as ``.mp4``, where it has another one."""
        if not ending or self.path.endswith(ending):
            return self
        return Artifact(self.name, self.uri + ending, self.path + ending)


def read(side: Mapping[str, Any], key: str) -> Artifact | None:
    """Return an artifact of the inputs or outputs of an executor input; None where the task was given none.

    Raises:
        StepError: it is a list of artifacts, or has no uri.
    """
    found = (side.get("artifacts") or {}).get(key)
    listed = (found or {}).get("artifacts") or []
    if not listed:
        return None
    if len(listed) > 1:
        raise StepError(
            f"artifact {key}: {len(listed)} artifacts came in, one is wanted: give one artifact, not a list."
        )
    uri = str(listed[0].get("uri") or "")
    if not uri:
        raise StepError(f"artifact {key} has no uri: the task that makes it has failed or wrote nothing.")
    return Artifact(str(listed[0].get("name") or key), uri, _path(uri, listed[0]))


def _path(uri: str, artifact: Mapping[str, Any]) -> str:
    if own := artifact.get("customPath"):
        return str(own)
    path = uri.removeprefix("file://")
    for scheme, folder in _MOUNTS.items():
        if uri.startswith(scheme):
            path = folder + uri.removeprefix(scheme)
    if (artifact.get("metadata") or {}).get("_kfp_workspace") is True:
        return _WORKSPACE + path.lstrip("/")
    return path
