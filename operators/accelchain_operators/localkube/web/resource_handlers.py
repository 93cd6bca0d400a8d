# SPDX-License-Identifier: Apache-2.0
"""The verbs on resources: from a request to a call of ``api``, and its answer."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from accelchain_operators.localkube.api import deletion, patching, writing
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.api.options import DeleteOptions, WriteOptions, read_dry_run
from accelchain_operators.localkube.errors import (
    NoSuchPageError,
    StatusError,
    bad_request,
    invalid,
    invalid_value,
    method_not_allowed,
    no_such_resource,
    required_field,
)
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.builtin import PODS
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.selectors import predicate
from accelchain_operators.localkube.table import render
from accelchain_operators.localkube.users import User
from accelchain_operators.localkube.web import authorization, pod_actions
from accelchain_operators.localkube.web.bodies import answer, read_body, status_success, wanted_form
from accelchain_operators.localkube.web.request_info import RequestInfo, flag
from accelchain_operators.localkube.web.watching import Watch, WatchRequest, check


def manager_of(request: web.Request) -> str:
    """Return the field manager: as the query says, or the first part of the user agent."""
    agent = request.headers.get("User-Agent", "unknown")
    return (request.query.get("fieldManager") or agent.split("/")[0])[:128]


def find_endpoint(cluster: Cluster, info: RequestInfo) -> Endpoint:
    """Return the endpoint of a request. Raises StatusError 404, NoSuchPageError."""
    endpoint = cluster.registry.find(info.group, info.version, info.resource)
    if endpoint is None:
        if info.version not in cluster.registry.groups().get(info.group, ()):
            raise NoSuchPageError
        raise no_such_resource()
    if endpoint.namespaced and not info.namespace and (info.name or info.verb not in ("list", "watch")):
        raise no_such_resource()
    if not endpoint.namespaced and info.namespace:
        raise no_such_resource()
    known = {*endpoint.subresources, *(["status"] if endpoint.has_status else [])}
    if info.subresource and info.subresource not in known:
        raise no_such_resource()
    return endpoint


def _write_options(request: web.Request, info: RequestInfo) -> WriteOptions:
    query = request.query
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        raise bad_request(f"fieldValidation must be Strict, Warn or Ignore, not {validation!r}")
    if info.verb == "patch" and request.content_type == patching.APPLY and not query.get("fieldManager"):
        cause = required_field("fieldManager", "Required value: is required for apply patch")
        raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
    return WriteOptions(
        manager=manager_of(request),
        dry_run=read_dry_run(query.getall("dryRun", [])),
        field_validation=validation,
        force=bool(flag(query, "force")),
    )


def _warned(endpoint: Endpoint, options: WriteOptions | None = None) -> list[str]:
    return [*([endpoint.warning] if endpoint.warning else []), *(options.warnings if options else [])]


def _one(request: web.Request, endpoint: Endpoint, obj: JsonObject) -> JsonObject:
    """Return an object in the form that the client wants; ``obj`` is in the endpoint's version."""
    form = wanted_form(request.headers)
    if form == "Table":
        stored = endpoint.read(obj)
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return render.table(endpoint, [stored], meta, request.query.get("includeObject", "Metadata"))
    return render.partial(obj) if form == "PartialObjectMetadata" else obj


async def handle(cluster: Cluster, request: web.Request, info: RequestInfo, user: User) -> web.Response:
    """Answer a request on a resource, watches and logs aside. Raises StatusError."""
    endpoint = find_endpoint(cluster, info)
    match info.verb:
        case "get":
            obj = endpoint.show(cluster.get(endpoint, info.namespace, info.name))
            return answer(_one(request, endpoint, obj), warnings=_warned(endpoint))
        case "list":
            return answer(_list(cluster, request, endpoint, info), warnings=_warned(endpoint))
        case "create":
            return await _create(cluster, request, endpoint, info)
        case "update":
            options = _write_options(request, info)
            body = await read_body(request)
            obj = writing.update(
                cluster, endpoint, info.namespace, info.name, body, options, subresource=info.subresource
            )  # fmt: skip
            return answer(_one(request, endpoint, obj), warnings=_warned(endpoint, options))
        case "patch":
            return await _patch(cluster, request, endpoint, info, user)
        case "delete" if not info.subresource:
            return await _delete(cluster, request, endpoint, info)
        case "deletecollection":
            return await _delete_all(cluster, request, endpoint, info)
    raise method_not_allowed(info.verb)


def _list(cluster: Cluster, request: web.Request, endpoint: Endpoint, info: RequestInfo) -> JsonObject:
    query = request.query
    matches = predicate(query.get("labelSelector", ""), query.get("fieldSelector", ""), endpoint.fields)
    revision = query.get("resourceVersion", "")
    if revision and not revision.isdigit():
        raise bad_request(f"resourceVersion: invalid value {revision!r}")
    if revision and int(revision) > cluster.store.revision:
        message = f"Too large resource version: {revision}, current: {cluster.store.revision}"
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        raise StatusError(504, "Timeout", message, details={"causes": causes}, retry_after=1)
    exact = int(revision) if query.get("resourceVersionMatch") == "Exact" and revision else None
    try:
        limit = int(query.get("limit") or 0)
    except ValueError:
        raise bad_request(f"limit must be an integer, not {query['limit']!r}") from None
    page = cluster.list(
        endpoint, info.namespace, matches, limit=limit, token=query.get("continue", ""), exact_revision=exact
    )
    form = wanted_form(request.headers)
    if form == "Table":
        return render.table(endpoint, page.objects, page.meta, query.get("includeObject", "Metadata"))
    if form == "PartialObjectMetadata":
        return render.partial_list(page.objects, page.meta)
    items = [endpoint.show(obj) for obj in page.objects]
    return {"kind": endpoint.list_kind, "apiVersion": endpoint.api_version, "metadata": page.meta, "items": items}


async def _create(cluster: Cluster, request: web.Request, endpoint: Endpoint, info: RequestInfo) -> web.Response:
    options = _write_options(request, info)
    body = await read_body(request)
    if endpoint.storage == PODS and info.subresource == "binding":
        return answer(pod_actions.bind(cluster, endpoint, info.namespace, info.name, body, options), 201)
    if endpoint.storage == PODS and info.subresource == "eviction":
        return answer(pod_actions.evict(cluster, endpoint, info.namespace, info.name, body), 201)
    if info.name:
        raise method_not_allowed("create")
    obj = writing.create(cluster, endpoint, info.namespace, body, options)
    return answer(_one(request, endpoint, obj), 201, warnings=_warned(endpoint, options))


async def _patch(
    cluster: Cluster, request: web.Request, endpoint: Endpoint, info: RequestInfo, user: User
) -> web.Response:
    options = _write_options(request, info)
    body = await read_body(request)
    is_apply = request.content_type == patching.APPLY and not info.subresource
    # As on a real server: an apply that makes the object is allowed to whoever may create it, too.
    if is_apply and not cluster.has(endpoint, info.namespace, info.name):
        authorization.check(cluster, user, replace(info, verb="create"))
    obj, created = patching.patch(
        cluster, endpoint, info.namespace, info.name, request.content_type, body, options, subresource=info.subresource
    )
    return answer(_one(request, endpoint, obj), 201 if created else 200, warnings=_warned(endpoint, options))


async def _delete_options(request: web.Request) -> DeleteOptions:
    body = await read_body(request)
    if body is not None and not isinstance(body, dict):
        raise bad_request("the body of a delete must be DeleteOptions")
    return DeleteOptions.read(body or {}, dict(request.query))


async def _delete(cluster: Cluster, request: web.Request, endpoint: Endpoint, info: RequestInfo) -> web.Response:
    options = await _delete_options(request)
    obj, gone = deletion.delete(cluster, endpoint, info.namespace, info.name, options)
    if gone and endpoint.storage != PODS:
        details = {"name": info.name, "kind": endpoint.plural, "uid": obj["metadata"]["uid"]}
        if endpoint.group:
            details["group"] = endpoint.group
        return answer(status_success(details), warnings=_warned(endpoint))
    return answer(_one(request, endpoint, endpoint.show(obj)), warnings=_warned(endpoint))


async def _delete_all(cluster: Cluster, request: web.Request, endpoint: Endpoint, info: RequestInfo) -> web.Response:
    options = await _delete_options(request)
    query = request.query
    matches = predicate(query.get("labelSelector", ""), query.get("fieldSelector", ""), endpoint.fields)
    page = cluster.list(endpoint, info.namespace, matches)
    for obj in page.objects:
        meta = obj["metadata"]
        try:
            deletion.delete(cluster, endpoint, meta.get("namespace", ""), meta["name"], options)
        except StatusError as error:
            if error.code != 404:  # a dependent of one that was deleted before
                raise
    items = [endpoint.show(obj) for obj in page.objects]
    return answer(
        {"kind": endpoint.list_kind, "apiVersion": endpoint.api_version, "metadata": page.meta, "items": items}
    )


def watch(cluster: Cluster, request: web.Request, info: RequestInfo, fault: Fault | None) -> Watch:
    """Return the stream that a request asks for. Raises StatusError."""
    endpoint = find_endpoint(cluster, info)
    query = request.query
    fields = query.get("fieldSelector", "")
    if info.name:
        fields = ",".join(filter(None, (fields, f"metadata.name={info.name}")))
    try:
        timeout = float(query.get("timeoutSeconds") or 0) or None
    except ValueError:
        cause = invalid_value("timeoutSeconds", query["timeoutSeconds"], "must be an integer")
        raise invalid("meta.k8s.io", "ListOptions", "", [cause]) from None
    wanted = WatchRequest(
        endpoint=endpoint,
        namespace=info.namespace,
        matches=predicate(query.get("labelSelector", ""), fields, endpoint.fields),
        revision=query.get("resourceVersion", ""),
        bookmarks=bool(flag(query, "allowWatchBookmarks")),
        initial_events=flag(query, "sendInitialEvents"),
        timeout=timeout,
        form=wanted_form(request.headers),
        include=query.get("includeObject", "Metadata"),
    )
    check(wanted, query.get("resourceVersionMatch", ""))
    return Watch(cluster, wanted, fault)
