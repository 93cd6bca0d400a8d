# SPDX-License-Identifier: Apache-2.0
"""What the API answered, as one sentence that says what to do. Pure."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import click

from accelchain.api import GROUP, KINDS
from accelchain.cli.errors import Refused, RunFailed
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection

_KINDS = {model.plural: model.kind_name for model in KINDS}
_READS = ("get", "list", "watch", "get and create")
_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_ANONYMOUS = 'User "system:anonymous"'
"""Whom real clusters take a request without a login for."""
_NOT_FOUND = re.compile(r'^(?P<plural>[a-z]+)(?:\.[a-z0-9.-]+)? "(?P<name>[^"]+)" not found')

NOT_INSTALLED = (
    "this cluster does not know accelchain's resources: ask its administrator to install accelchain "
    "(helm install accelchain …); kubectl get crds shows what is there."
)
OLD_DEFINITIONS = (
    "ask the cluster's administrator to upgrade accelchain there, its resource definitions first "
    "(helm upgrade accelchain …)"
)


def explain(error: ApiError, connection: Connection | None = None) -> click.ClickException:
    """Return an answer of the API as the exception that ends a command.

    Refused where something must be put right before (login, rights, what was asked for); RunFailed where the cluster
    is the one that does not work.
    """
    if error.code == 401 or (error.code == 403 and _ANONYMOUS in error.message):
        return Refused(_login(connection))
    if error.code == 403:
        return Refused(_right(error.message))
    if error.code == 404:
        return Refused(_missing(error.message))
    if error.code in (400, 409, 422):
        return Refused(f"the cluster refuses it: {_stop(error.message)}")
    if error.code == 0 and error.reason == "Untrusted":
        return RunFailed(
            f"{error.message.rstrip('.')}; the kubeconfig may be another cluster's, or its certificate-authority old."
        )
    if error.code == 0:
        return RunFailed(f"{error.message.rstrip('.')}; does the cluster run, and is this its kubeconfig?")
    return RunFailed(f"the cluster answered {error.code}: {_stop(error.message)}")


def right_of(error: ApiError) -> str:
    """Return the right that a 403 says is missing, in a few words: ``list pods in namespace team``."""
    found = _FORBIDDEN.search(error.message)
    if found is None:
        return error.message.removeprefix("you may not ").rstrip(".")
    where = f" in namespace {found['namespace']}" if found["namespace"] else ""
    return f"{found['verb']} {_resource(found)}{where}"


def dropped_fields(sent: Any, kept: Any, path: str = "") -> list[str]:
    """Return the paths of fields that were sent and are not in the API's answer: its definitions don't know them.

    What the API adds (defaults, metadata) does not count; lists are compared item by item.
    """
    if isinstance(sent, dict):
        if not isinstance(kept, dict):
            return [path]
        found = []
        for key, value in sent.items():
            here = f"{path}.{key}" if path else str(key)
            if key not in kept:
                found += [here] if value not in ({}, [], None) else []
            else:
                found += dropped_fields(value, kept[key], here)
        return found
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        pairs = enumerate(zip(sent, kept, strict=True))
        return [found for i, (a, b) in pairs for found in dropped_fields(a, b, f"{path}[{i}]")]
    return []


def _login(connection: Connection | None) -> str:
    if connection is None:
        return "the cluster does not accept this login; log in again."
    who = f" of user {connection.user}" if connection.user else ""
    if connection.login is not None:
        return (
            f"the cluster does not accept the login{who} by {connection.login.command[0]}; log in with it again, "
            "or take another context."
        )
    if connection.client_certificate and not (connection.token or connection.token_file):
        return f"the cluster does not accept the client certificate{who}; it may have expired: ask for a new one."
    token = connection.current_token()
    if not token:
        return f"the kubeconfig holds no login{who}, and the cluster wants one; add a token or a client certificate."
    expired = _expired(token)
    when = f" expired at {expired}" if expired else " is not accepted by the cluster: it has expired or was revoked"
    return f"the token{who}{when}; log in again, or put a new token into the kubeconfig."


def _expired(token: str) -> str:
    """Return when a token expired, where it says so itself (a JWT) and that is past."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        moment = datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return ""
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment < datetime.now(UTC) else ""


def _right(message: str) -> str:
    found = _FORBIDDEN.search(message)
    if found is None:
        return f"the cluster refuses it: {_stop(message)}"
    who = f"user {found['user']} may not {found['verb']} {_resource(found)}"
    if not found["namespace"]:
        return f"{who} (a right for the whole cluster); ask the cluster's administrator for it, or to do it for you."
    role = "view" if found["verb"] in _READS and "/" not in found["resource"] else "edit"
    return (
        f"{who} in namespace {found['namespace']}; ask the cluster's administrator for that right "
        f"(ClusterRole {role} holds it)."
    )


def _resource(found: re.Match[str]) -> str:
    return f"{found['resource']}.{found['group']}" if found["group"] == GROUP else found["resource"]


def _missing(message: str) -> str:
    found = _NOT_FOUND.match(message)
    if found is None:
        return NOT_INSTALLED
    if found["plural"] == "namespaces":
        return f"there is no namespace {found['name']}; kubectl create namespace {found['name']} makes it."
    kind = _KINDS.get(found["plural"], found["plural"])
    return f"there is no {kind} {found['name']} in this namespace; accelchain get {found['plural']} -A shows all."


def _stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
