# SPDX-License-Identifier: Apache-2.0
"""Pure parts: tables, CEL functions, versions, protobuf."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accelchain_operators.localkube.resources.endpoint import _priority
from accelchain_operators.localkube.schema.cel_engine import CelError, CelRuntimeError, Expression, Scope
from accelchain_operators.localkube.schema.cel_rules import Rule
from accelchain_operators.localkube.schema.formats import check_format, parse_duration
from accelchain_operators.localkube.table import cell_text
from accelchain_operators.localkube.table.cells import duration_text
from accelchain_operators.localkube.table.json_path import find
from accelchain_operators.localkube.web import protobuf

OBJECT = {
    "spec": {"list": [{"name": "a", "n": 1}, {"name": "b", "n": 2}], "dotted.key": {"x": "y"}, "flag": True},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.list[0].name", ["a"]),
        (".spec.list[-1].name", ["b"]),
        (".spec.list[*].name", ["a", "b"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Never')].status", []),
        (".spec.list[?(@.n>1)].name", ["b"]),
        (r".spec.dotted\.key.x", ["y"]),
        (".spec['dotted.key'].x", ["y"]),
        (".spec.nothing.here", []),
        ("{.spec.flag}", [True]),
    ],
)
def test_json_paths(path, found):
    assert find(OBJECT, path) == found


def test_cells():
    assert cell_text(OBJECT, ".spec.flag", "boolean") == "true"
    assert cell_text(OBJECT, ".spec.list[*].name") == "a"
    assert cell_text(OBJECT, ".spec.none") == ""
    assert cell_text({"t": "2020-01-01T00:00:00Z"}, ".t", "date").endswith("y")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (3600, "60m"),
        (4 * 3600, "4h"),
        (90000, "25h"),
        (3 * 86400, "3d"),
    ],
)
def test_ages(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    "rule",
    [
        "self.name.split('-').size() == 3",
        "self.name.split('-', 2) == ['a', 'b-c']",
        "['x', 'y'].join('/') == 'x/y'",
        "self.name.indexOf('b') == 2 && self.name.lastIndexOf('-') == 3",
        "self.name.substring(2) == 'b-c' && self.name.substring(0, 1) == 'a' && self.name.charAt(0) == 'a'",
        "self.name.replace('-', '') == 'abc' && self.name.upperAscii() == 'A-B-C'",
        "self.name.matches('^[a-z-]+$') && self.name.find('[b-c]') == 'b' && self.name.findAll('[a-c]').size() == 3",
        "self.items.isSorted() && self.items.sum() == 6 && self.items.max() == 3 && self.items.min() == 1",
        "quantity('1Gi') > quantity('1G') && isQuantity('100m') && !isQuantity('1x')",
        "self.items.all(i, self.items.exists_one(j, i == j))",
        "isURL('https://a.b/c') && url('https://a.b:1/c').getHostname() == 'a.b'",
        "isIP('127.0.0.1') && !isCIDR('x')",
        "sets.contains(self.items, [1]) && math.greatest(1, 2) == 2",
        "has(self.name) && !has(self.none)",
        "duration('1m') > duration('59s')",
    ],
)
def test_rules_that_hold(rule):
    assert Expression(rule).evaluate(Scope({"name": "a-b-c", "items": [1, 2, 3]})) is True


@pytest.mark.parametrize("rule", ["self.a >", "nothing(self)", "slef.a", "self.list.all(i, j > 1)", "'open"])
def test_rules_that_do_not_compile(rule):
    with pytest.raises(CelError):
        Expression(rule)


def test_a_rule_that_fails_on_a_value_says_why():
    with pytest.raises(CelRuntimeError, match="no such key: missing"):
        Expression("self.missing > 1").evaluate(Scope({}))


@pytest.mark.parametrize(("old", "good"), [((), True), (("a",), True), (("b",), False)])
def test_an_optional_old_value_makes_set_once(old, good):
    rule = Rule.compile({"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": True})
    assert (rule.check("f", Scope("a", *old)) is None) is good


def test_a_message_expression_and_a_field_path():
    rule = Rule.compile(
        {
            "rule": "self.a < 2",
            "messageExpression": "'a is ' + string(self.a)",
            "fieldPath": ".a",
            "reason": "FieldValueForbidden",
        }
    )
    cause = rule.check("spec", Scope({"a": 2}))
    assert cause is not None
    assert (cause.field, cause.message, cause.reason) == ("spec.a", "Forbidden: a is 2", "FieldValueForbidden")


def test_versions_are_ranked():
    versions = ["v1alpha1", "v1", "v2beta1", "v10", "foo", "v1beta2", "v2"]
    assert sorted(versions, key=_priority) == ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-01T00:00:00Z", "2026-01-01"),
        ("duration", "1h30m", "1 hour"),
        ("ipv4", "1.2.3.4", "1.2.3"),
        ("uri", "https://a", "a"),
        ("byte", "YQ==", "?"),
        ("int32", 1, 2**31),
        ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x"),
    ],
)
def test_formats(name, good, bad):
    assert check_format(name, good) and not check_format(name, bad)


def test_durations():
    assert parse_duration("1h0.5s") == timedelta(hours=1, seconds=0.5)
    assert parse_duration("-2m") == timedelta(minutes=-2)


def test_protobuf_that_is_cut_off_or_unknown():
    with pytest.raises(protobuf.ProtobufError, match="prefix"):
        protobuf.decode(b"{}")
    with pytest.raises(protobuf.ProtobufError):
        protobuf.decode(b"k8s\x00\x0a\xff")
    envelope = b"k8s\x00" + b"\x0a\x09" + b"\x0a\x02v1" + b"\x12\x03Pod"
    with pytest.raises(protobuf.ProtobufError, match="Pod is not read in protobuf"):
        protobuf.decode(envelope)
