# SPDX-License-Identifier: Apache-2.0
"""Rights that ServiceAccounts were given, against those that their requests show. Pure.

The two are compared grant by grant, not verb by verb: where a right holds and for which names is part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RBAC = "rbac.authorization.k8s.io"
REFUSED = frozenset({401, 403})
NO_USE = frozenset({0, 401, 403})
"""Codes of answers that show no use of a right; 404 and 409 do."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A verb on a resource, its subresource included."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        plural, slash, subresource = self.resource.partition("/")
        return f"{self.verb} {plural}{'.' if self.group else ''}{self.group}{slash}{subresource}"


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """What a request needed."""

    right: Right
    namespace: str
    """Empty: all namespaces, or a kind of the cluster."""
    name: str | None
    """Empty: none, as for a list of all; None: not known."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One right of a Role that is bound to an account."""

    right: Right
    namespace: str
    """Where it holds; empty: everywhere."""
    names: tuple[str, ...] = ()
    """Objects that it holds for; empty: all."""

    def covers(self, asked: Asked) -> bool:
        """Tell whether this grant alone allows what was asked for."""
        here = self.namespace in ("", asked.namespace)
        named = not self.names or asked.name is None or asked.name in self.names
        return here and named and self.right == asked.right

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else " everywhere"
        return f"{self.right}{where}{' named ' if self.names else ''}{', '.join(self.names)}"


def asked(
    verb: str, group: str, resource: str, subresource: str, namespace: str, name: str | None, code: int
) -> Iterator[Asked]:
    """Yield what a request needed that RBAC let through, none where it did not.

    A server-side apply that made the object (a patch answered 201) was allowed by the right to create, too.
    """
    if code in NO_USE:
        return
    whole = f"{resource}/{subresource}" if subresource else resource
    yield Asked(Right(group, whole, verb), namespace, name)
    if verb == "patch" and code == 201:
        yield Asked(Right(group, whole, "create"), namespace, name)


def grants_of(objects: Iterable[Mapping[str, Any]], namespace: str, account: str) -> set[Grant]:
    """Return what a ServiceAccount is granted by Roles and bindings.

    Args:
        objects: ClusterRoles, Roles and their bindings; others are not looked at.
        namespace: of the account.
        account: its name.
    """
    objects = list(objects)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    found: set[Grant] = set()
    for binding in objects:
        if binding["kind"] not in ("ClusterRoleBinding", "RoleBinding"):
            continue
        where = binding["metadata"].get("namespace", "")
        if not any({**s, "namespace": s.get("namespace", where)} == subject for s in binding.get("subjects") or ()):
            continue
        reference = binding["roleRef"]
        home = where if reference["kind"] == "Role" else ""
        for role in objects:
            meta = role["metadata"]
            if (role["kind"], meta["name"], meta.get("namespace", "")) == (reference["kind"], reference["name"], home):
                found.update(_grants(role, where))
    return found


def hook_roles(table: Mapping[str, Any], namespace: str) -> list[dict[str, Any]]:
    """Return Roles and bindings of Helm's hooks, which no rendered file holds, as the chart makes them of its table.

    Args:
        table: what the chart's rights.yaml holds.
        namespace: of the release.
    """
    found = []
    for name, rights in table["hooks"].items():
        full = f"accelchain-{name}"
        subject = {"kind": "ServiceAccount", "name": full, "namespace": namespace}
        for prefix, place, rules in (("Cluster", {}, rights["cluster"]), ("", {"namespace": namespace}, rights["own"])):
            head = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": full, **place}}
            role = {"apiGroup": RBAC, "kind": f"{prefix}Role", "name": full}
            found.append({**head, "kind": f"{prefix}Role", "rules": rules})
            found.append({**head, "kind": f"{prefix}RoleBinding", "roleRef": role, "subjects": [subject]})
    return found


def _grants(role: Mapping[str, Any], where: str) -> Iterator[Grant]:
    for rule in role.get("rules") or ():
        names = tuple(rule.get("resourceNames") or ())
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for verb in rule["verbs"]:
                    yield Grant(Right(group, resource, verb), where, names)


def missing(grants: Collection[Grant], requests: Iterable[Asked]) -> set[Asked]:
    """Return what was asked for and no grant allows."""
    return {one for one in set(requests) if not any(grant.covers(one) for grant in grants)}


def unused(grants: Collection[Grant], requests: Iterable[Asked]) -> set[Grant]:
    """Return the grants without which every request would have been allowed all the same."""
    needed = set()
    for one in set(requests):
        covering = [grant for grant in grants if grant.covers(one)]
        if len(covering) == 1:
            needed.update(covering)
    return set(grants) - needed


def too_wide(grants: Collection[Grant], requests: Iterable[Asked], home: str) -> set[Grant]:
    """Return the grants that hold everywhere and were used in one namespace only."""
    places: dict[Grant, set[str]] = {}
    for one in set(requests):
        for grant in grants:
            if not grant.namespace and grant.covers(one):
                places.setdefault(grant, set()).add(one.namespace)
    return {grant for grant, used in places.items() if used == {home}}


def difference(
    grants: Collection[Grant], requests: Collection[Asked], home: str, unseen: Collection[Right] = ()
) -> list[str]:
    """Return in words where rights and requests differ; empty: they are equal, both ways.

    Args:
        grants: of one account.
        requests: of the same.
        home: the account's namespace.
        unseen: rights that no request shows, whatever is done.
    """
    words = [f"missing: {one.right} in {one.namespace or 'all'} ({one.name})" for one in missing(grants, requests)]
    for grant in unused(grants, requests):
        if grant.right not in unseen:
            words.append(f"never needed: {grant}")
    words += [f"held everywhere, used in {home} only: {grant}" for grant in too_wide(grants, requests, home)]
    shown = {one.right for one in requests}
    words += [f"said to be unseen, and seen: {right}" for right in unseen if right in shown]
    return sorted(words)
