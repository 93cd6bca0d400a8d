# SPDX-License-Identifier: Apache-2.0
"""From a CustomResourceDefinition to the endpoints that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from accelchain_operators.localkube.errors import Cause, forbidden_field, invalid_value, required_field
from accelchain_operators.localkube.objects import JsonObject, lookup, timestamp
from accelchain_operators.localkube.resources.builtin_schemas import METADATA
from accelchain_operators.localkube.resources.endpoint import Column, Endpoint
from accelchain_operators.localkube.resources.strategy import Strategy
from accelchain_operators.localkube.schema.structural import SchemaError, compile_schema

_AGE = Column("Age", ".metadata.creationTimestamp", "date", description="When the object was created.")


class CrdStrategy(Strategy):
    """Checks definitions as strictly as a real server: structural schemas, rules that compile, sane names."""

    def prepare_create(self, obj: JsonObject) -> None:
        """Complete the names and set the conditions: a definition is served as soon as it is stored."""
        self._complete(obj)
        names = lookup(obj, "spec", "names", default={})
        now = timestamp()
        obj["status"] = {
            "acceptedNames": dict(names),
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found",
                 "lastTransitionTime": now},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                 "message": "the initial names have been accepted", "lastTransitionTime": now},
            ],
            "storedVersions": [v.get("name") for v in lookup(obj, "spec", "versions") or [] if v.get("storage")],
        }  # fmt: skip

    def prepare_update(self, obj: JsonObject, old: JsonObject, subresource: str) -> None:
        """Complete the names and remember every version that objects were stored in."""
        self._complete(obj)
        if subresource:
            return
        stored = list(lookup(old, "status", "storedVersions") or [])
        stored += [
            v["name"] for v in lookup(obj, "spec", "versions") or [] if v.get("storage") and v["name"] not in stored
        ]
        names = dict(lookup(obj, "spec", "names") or {})
        obj["status"] = {**(obj.get("status") or {}), "acceptedNames": names, "storedVersions": stored}

    def _complete(self, obj: JsonObject) -> None:
        names = lookup(obj, "spec", "names")
        if isinstance(names, dict) and isinstance(kind := names.get("kind"), str):
            names.setdefault("singular", kind.lower())
            names.setdefault("listKind", f"{kind}List")
        if isinstance(spec := obj.get("spec"), dict):
            spec.setdefault("conversion", {"strategy": "None"})

    def check(self, obj: JsonObject, old: JsonObject | None) -> Iterable[Cause]:
        """Yield what is wrong with a definition."""
        spec = obj.get("spec") or {}
        names = spec.get("names") or {}
        for field, value in (
            ("group", spec.get("group")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
        ):
            if not value:
                yield required_field(f"spec.{field}")
        expected = f"{names.get('plural')}.{spec.get('group')}"
        if obj["metadata"]["name"] != expected:
            yield invalid_value("metadata.name", obj["metadata"]["name"], 'must be spec.names.plural+"."+spec.group')
        if spec.get("scope") not in ("Namespaced", "Cluster"):
            yield invalid_value("spec.scope", spec.get("scope"), "must be Namespaced or Cluster")
        if lookup(spec, "conversion", "strategy") == "Webhook":
            yield forbidden_field("spec.conversion.strategy", "conversion webhooks are not supported by this server")
        versions = spec.get("versions") or []
        if sum(bool(version.get("storage")) for version in versions) != 1:
            yield invalid_value("spec.versions", "array", "must have exactly one version marked as storage version")
        if old is not None:
            for name in ("group", "scope"):
                if spec.get(name) != old["spec"].get(name):
                    yield invalid_value(f"spec.{name}", spec.get(name), "field is immutable")
        for index, version in enumerate(versions):
            yield from _check_version(version, f"spec.versions[{index}]")


def _check_version(version: JsonObject, path: str) -> Iterator[Cause]:
    raw = lookup(version, "schema", "openAPIV3Schema")
    if raw is None:
        yield required_field(f"{path}.schema.openAPIV3Schema", "Required value: schemas are required")
        return
    if raw.get("type") != "object":
        yield invalid_value(f"{path}.schema.openAPIV3Schema.type", raw.get("type"), "must be object at the root")
        return
    try:
        compile_schema(raw, f"{path}.schema.openAPIV3Schema")
    except SchemaError as error:
        yield Cause(error.path, error.message)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        if not str(column.get("jsonPath", "")).startswith("."):
            yield invalid_value(
                f"{path}.additionalPrinterColumns[{index}].jsonPath", column.get("jsonPath"), "must start with '.'"
            )


def crd_endpoints(crd: JsonObject) -> list[Endpoint]:
    """Return the endpoints of a definition that was checked, the storage version first."""
    spec = crd["spec"]
    names = spec["names"]
    found: list[tuple[bool, Endpoint]] = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        raw = _complete_schema(version["schema"]["openAPIV3Schema"])
        sub = version.get("subresources") or {}
        api_version = f"{spec['group']}/{version['name']}"
        endpoint = Endpoint(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            schema=compile_schema(raw, structural=False),
            namespaced=spec["scope"] == "Namespaced",
            singular=names["singular"],
            list_kind=names["listKind"],
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            has_status="status" in sub,
            tracks_generation=True,
            custom=True,
            columns=_columns(version),
            fields=frozenset(f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ()),
            encode=_stamp(api_version),
            decode=_stamp(api_version),
            warning=_warning(version, api_version, names["kind"]),
            raw_schema=raw,
        )
        found.append((bool(version.get("storage")), endpoint))
    return [endpoint for _, endpoint in sorted(found, key=lambda pair: not pair[0])]


def _stamp(api_version: str) -> Callable[[JsonObject], JsonObject]:
    return lambda obj: obj if obj.get("apiVersion") == api_version else {**obj, "apiVersion": api_version}


def _complete_schema(raw: JsonObject) -> JsonObject:
    """Return a definition's schema with the fields that every object has; restrictions on names stay."""
    own = (raw.get("properties") or {}).get("metadata") or {}
    meta = dict(METADATA)
    if own.get("properties"):
        meta["properties"] = {**METADATA["properties"], **own["properties"]}
    string = {"type": "string"}
    properties = {"apiVersion": string, "kind": string, **(raw.get("properties") or {}), "metadata": meta}
    return {**raw, "properties": properties}


def _columns(version: JsonObject) -> tuple[Column, ...]:
    wanted = version.get("additionalPrinterColumns")
    if not wanted:
        return (_AGE,)
    return tuple(
        Column(c["name"], c["jsonPath"], c.get("type", "string"), c.get("format", ""), c.get("description", ""),
               c.get("priority", 0))
        for c in wanted
    )  # fmt: skip


def _warning(version: JsonObject, api_version: str, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{api_version} {kind} is deprecated")
