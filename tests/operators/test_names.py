# SPDX-License-Identifier: Apache-2.0
"""Names of what flows own: valid, and never the same for two things."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from accelchain.api.common import DNS_LABEL, IDENTIFIER
from accelchain_operators.kube.client import JsonObject
from accelchain_operators.reconcile.names import connection_name, function_name, label_value, worker_name

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""As the API server has it for names of objects."""


def matching(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern.replace("$", r"\Z"), fullmatch=True)


short = st.text("ab-", min_size=1, max_size=5).filter(lambda text: bool(re.match(DNS_LABEL, text)))
labels = st.one_of(short, matching(DNS_LABEL).map(lambda text: text[:63].rstrip("-")))
ports = st.one_of(st.sampled_from(["p", "P", "p_", "p-", "q_r", "q-r"]), matching(IDENTIFIER))
flows = st.lists(labels, min_size=1, max_size=3).map(lambda parts: ".".join(parts)[:253].rstrip(".-"))


def flow(name: str) -> JsonObject:
    return {"metadata": {"name": name}}


def edge(source: str, output: str, target: str, input: str) -> JsonObject:
    return {"from": {"function": source, "port": output}, "to": {"function": target, "port": input}}


def test_names_can_be_read() -> None:
    assert function_name(flow("demo"), "soft") == "demo.soft"
    assert connection_name(flow("demo"), edge("in", "frames", "soft", "frames")) == "demo.in.frames.soft.frames"
    assert re.fullmatch("demo-laptop-[0-9a-f]{5}", worker_name(flow("demo"), "laptop"))


def test_dashes_in_names_of_flows_functions_and_nodes_make_no_two_names_one() -> None:
    assert function_name(flow("a"), "b-c") != function_name(flow("a-b"), "c")
    assert connection_name(flow("a"), edge("b-c", "p", "d", "q")) != connection_name(
        flow("a-b"), edge("c", "p", "d", "q")
    )
    assert worker_name(flow("a"), "b-c") != worker_name(flow("a-b"), "c")
    assert worker_name(flow("a.b"), "c") != worker_name(flow("a-b"), "c")


@given(st.tuples(flows, labels), st.tuples(flows, labels))
def test_functions_of_any_flows_get_valid_names_of_their_own(one: tuple[str, str], other: tuple[str, str]) -> None:
    names = {pair: function_name(flow(pair[0]), pair[1]) for pair in (one, other)}
    assert all(SUBDOMAIN.fullmatch(name) and len(name) <= 253 for name in names.values())
    assert len(set(names.values())) == len(names)


ends = st.tuples(flows, labels, ports, labels, ports)


@given(ends, ends)
def test_connections_of_any_flows_get_valid_names_of_their_own(
    one: tuple[str, str, str, str, str], other: tuple[str, str, str, str, str]
) -> None:
    names = {found: connection_name(flow(found[0]), edge(*found[1:])) for found in (one, other)}
    assert all(SUBDOMAIN.fullmatch(name) and len(name) <= 253 for name in names.values())
    assert len(set(names.values())) == len(names)


nodes = st.one_of(flows, st.sampled_from(["Laptop.local", "n" * 63]))
long = st.sampled_from(["a" * 240 + ".x", "a" * 240 + ".y", "a" * 57 + "b", "a" * 57 + "c", "a-b", "a"])
workers = st.tuples(st.one_of(flows, long), nodes, st.integers(1, 200))


@given(workers, workers)
def test_workers_of_any_flows_nodes_and_attempts_get_names_of_their_own(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    names = {w: worker_name(flow(w[0]), w[1], w[2]) for w in (one, other)}
    assert all(re.fullmatch(DNS_LABEL, name) and len(name) <= 63 for name in names.values())
    assert len(set(names.values())) == len(names)


def test_ten_thousand_flows_that_begin_alike_get_workers_of_different_names() -> None:
    names = {worker_name(flow(f"{'camera-of-the-north-building-' * 3}{i}"), "node") for i in range(10_000)}
    assert len(names) == 10_000


LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


@given(st.one_of(flows, long), st.one_of(flows, long))
def test_labels_are_valid_and_tell_flows_apart(one: str, other: str) -> None:
    values = {name: label_value(name) for name in (one, other, label_value(one), label_value(other))}
    assert all(LABEL_VALUE.fullmatch(value) and len(value) <= 63 for value in values.values())
    assert len(set(values.values())) == len(values), "nor is a name the cut form of another one"


@given(flows.filter(lambda name: len(name) < 63))
def test_a_short_name_is_its_own_label(name: str) -> None:
    assert label_value(name) == name
