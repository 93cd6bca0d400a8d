# SPDX-License-Identifier: Apache-2.0
"""Rule 8: a chain begins at an address and ends at one, and both are known to a DataFlow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from accelchain.argo.core.unknown import is_unknown
from accelchain.argo.fuse.leaf import REMOTE, Leaf, named
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.scope import Chain, Step
from accelchain.argo.fuse.values import inlined, value_of
from accelchain.chain.values import is_address

JsonObject = dict[str, Any]

KINDS: Final = (
    "s3", "http", "gcs", "azure", "oss", "hdfs", "git", "raw", "artifactory", "plugin",
)  # fmt: skip
_READABLE: Final = ("s3", "http")
_S3: Final = {
    "endpoint", "bucket", "key", "region", "insecure",
    "accessKeySecret", "secretKeySecret", "sessionTokenSecret", "caSecret",
}  # fmt: skip
_PLAIN: Final = {"name", "path", "from", "archive", "globalName", *_READABLE}
_AS_IT_IS: Final[JsonObject] = {"none": {}}
_TARS: Final = (".tgz", ".tar.gz", ".tar")
_INPUT: Final = re.compile(r"\{\{\s*inputs\.artifacts\.([^\s{}]+?)\s*\}\}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z][-A-Za-z0-9_]{0,62}", re.ASCII)


def rule_08_ends(chain: Chain) -> Iterator[Stop]:
    """The chain reads from an address and writes to one, and only the last step has outputs."""
    first, last = chain.members[0], chain.members[-1]
    if first.leaf is not None:
        yield from _start(first, first.leaf)
    for step, leaf in chain.leaves():
        yield from _plain(step, leaf)
        for artifact in leaf.reads.values():
            yield from _read(chain, step, artifact)
    if last.leaf is not None:
        yield from _end(chain, last, last.leaf)


def _plain(step: Step, leaf: Leaf) -> Iterator[Stop]:
    """Check addresses that are told in words: a file of the container's own is none."""
    for declaration in leaf.type.spec.parameters:
        text = leaf.parameters.get(declaration.name, "") if is_address(declaration) else ""
        known = {name: value_of(step, name) or "" for name in named(step.template, "inputs", "parameters")}
        value = inlined(step, text, defaultdict(str, known))
        if value and not is_unknown(value) and not REMOTE.match(value):
            yield Stop(8, step.name, f"its {declaration.name} ({value[:60]}) is a file of its container's.")


def _start(step: Step, leaf: Leaf) -> Iterator[Stop]:
    for artifact in leaf.inputs.values():
        yield Stop(8, step.name, f"a DataFlow can't begin with it: its artifact '{artifact}' holds frames, no source.")
    if not leaf.inputs and not leaf.reads_something:
        yield Stop(8, step.name, "a DataFlow can't begin with it: it reads from no address.")


def _end(chain: Chain, step: Step, leaf: Leaf) -> Iterator[Stop]:
    for artifact in leaf.outputs.values():
        whole = f"outputs.artifacts.{artifact}."
        used = any(f"{use.what}.".startswith(whole) for use in chain.scope.mentioned(step.name, but=()))
        if used or artifact not in leaf.ephemeral:
            message = f"a DataFlow can't end with it: its artifact '{artifact}' holds frames, which only a sink stores."
            yield Stop(8, step.name, message)
    if not leaf.writes_something:
        yield Stop(8, step.name, "a DataFlow can't end with it: it writes to no address.")
    for name in named(step.template, "outputs", "parameters"):
        if name not in leaf.results:
            hint = "name the function's result in the annotation accelchain.io/results"
            yield Stop(8, step.name, f"nothing says what gives its output parameter '{name}': {hint}.")
    for name in (step.template.get("outputs") or {}).keys() - {"parameters", "artifacts"}:
        yield Stop(8, step.name, f"outputs.{name} is nothing that a DataFlow gives.")
    artifacts = named(step.template, "outputs", "artifacts")
    for name in leaf.writes.values():
        yield from _written(step, artifacts[name])


def _written(step: Step, artifact: JsonObject) -> Iterator[Stop]:
    name = artifact["name"]
    if not _IDENTIFIER.fullmatch(name):
        yield Stop(
            8, step.name, f"its artifact's name '{name}' is none for an output of a chain: use letters, - and _."
        )
    if fault := _fault(artifact):
        yield Stop(8, step.name, f"its artifact '{name}' {fault}.")
    placed = kind_of(artifact) != "" and artifact.get("archive") != _AS_IT_IS
    if placed or not _archive_agreed(artifact):
        yield Stop(8, step.name, f"its artifact '{name}' is stored as an archive: write archive: {{none: {{}}}}.")


def _archive_agreed(artifact: JsonObject) -> bool:
    return artifact.get("archive") in (None, _AS_IT_IS)


def _read(chain: Chain, step: Step, name: str) -> Iterator[Stop]:
    declared = named(step.template, "inputs", "artifacts")[name]
    given = step.artifacts.get(name)
    for artifact in (declared, given) if given is not None else (declared,):
        if fault := _fault(artifact):
            yield Stop(8, step.name, f"its artifact '{name}' {fault}.")
        if fault := _unpacked_otherwise(artifact):
            yield Stop(8, step.name, f"its artifact '{name}' {fault}.")
    if given is None and kind_of(declared) == "":
        yield Stop(8, step.name, f"its artifact '{name}' has no location.")
    if given is None or kind_of(given):
        return
    source = step.source(name)
    if source is not None and source[0] in chain.scope.steps:
        made = named(chain.scope.steps[source[0]].template, "outputs", "artifacts").get(source[1], {})
        if fault := _fault_of_place(made):
            yield Stop(8, step.name, f"its artifact '{name}' {fault}.")
        elif fault := _packed(made):
            yield Stop(8, step.name, f"its artifact '{name}' {fault}: write archive: {{none: {{}}}} in '{source[0]}'.")
        elif fault := _unpacked_otherwise(made):
            yield Stop(8, step.name, f"its artifact '{name}' {fault}.")
    elif "from" not in given:
        yield Stop(8, step.name, f"its artifact '{name}' has no location.")
    elif around := _INPUT.fullmatch(str(given["from"])):
        for arrival in chain.scope.arrivals.get(around[1], ()):
            packed = _packed(arrival.artifact) if arrival.maker else ""
            fault = _fault_of_place(arrival.artifact) or packed or _unpacked_otherwise(arrival.artifact)
            if fault:
                yield Stop(8, step.name, f"artifact '{around[1]}' of the template around {fault}.")


def _unpacked_otherwise(artifact: JsonObject) -> str:
    """Return why what Argo makes of an archive is not what a DataFlow makes of it."""
    key, as_it_is = _key(artifact), artifact.get("archive") == _AS_IT_IS
    if key.endswith(".zip") and not as_it_is:
        return "is a zip, which Argo unpacks and a DataFlow does not"
    if key.endswith(_TARS) and as_it_is:
        return "is a tar that Argo leaves as it is, and a DataFlow unpacks it"
    return ""


def _fault_of_place(artifact: JsonObject) -> str:
    kind = kind_of(artifact)
    return f"lies in {kind}, where no DataFlow reads: use s3 or http" if kind not in ("", *_READABLE) else ""


def _packed(made: JsonObject) -> str:
    """Return why an output of a Pod can't be unpacked again; its key has to say that it is a tar."""
    archive = made.get("archive")
    if isinstance(archive, dict) and archive.get("zip") is not None:
        return "is stored as a zip"
    key = _key(made)
    if key and archive != _AS_IT_IS and not key.endswith(_TARS):
        return "is stored as an archive, and its key does not say so"
    return ""


def _key(artifact: JsonObject) -> str:
    place = artifact.get("s3")
    return str(place.get("key") or "").lower() if isinstance(place, dict) else ""


def kind_of(artifact: JsonObject) -> str:
    """Return what sort of place an artifact has; empty: none of its own."""
    return next((kind for kind in KINDS if artifact.get(kind) is not None), "")


def _fault(artifact: JsonObject) -> str:
    """Return what of an artifact's declaration no DataFlow can do."""
    kind = kind_of(artifact)
    if kind not in ("", *_READABLE):
        return f"lies in {kind}, where no DataFlow reads or writes: use s3 or http"
    if unknown := sorted(key for key in artifact if key not in _PLAIN and artifact[key] not in (None, False)):
        return f"has {unknown[0]}, which a DataFlow has not"
    place = artifact.get(kind) if kind else {}
    if not isinstance(place, dict):
        return f"has no {kind} that can be read"
    if unknown := sorted(key for key in place if key not in (_S3 if kind == "s3" else {"url"})):
        return f"has {kind}.{unknown[0]}, which a DataFlow has not"
    if kind == "s3" and not place.get("key"):
        return "has no key in s3"
    return "" if _archive_agreed(artifact) else "is kept as an archive"
