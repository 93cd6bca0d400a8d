# SPDX-License-Identifier: Apache-2.0
"""Which addresses a confined worker may connect to, by number and by name."""

from __future__ import annotations

import socket

import pytest

from accelchain_runtime.functions.remote.failures import Refused, Unavailable
from accelchain_runtime.functions.remote.guard import Guard
from accelchain_runtime.functions.remote.networks import closed, parse_rule


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
        *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "203.0.113.7"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "100::1"),
    ],
)
def test_closed(address):
    assert closed("host", 443, address, ()) is not None


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
)
def test_open(address):
    assert closed("host", 443, address, ()) is None


@pytest.mark.parametrize(
    ("rule", "host", "port", "address", "is_open"),
    [
        ("10.0.0.0/8", "x", 80, "10.1.2.3", True),
        ("10.0.0.0/8", "x", 80, "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "x", 80, "192.168.0.1", False),
        ("10.1.2.3:8333", "x", 8333, "10.1.2.3", True),
        ("10.1.2.3:8333", "x", 80, "10.1.2.3", False),
        ("[fd00::1]:80", "x", 80, "fd00::1", True),
        ("[fd00::1]:80", "x", 81, "fd00::1", False),
        ("fd00::/8", "x", 81, "fd00::1", True),
        ("Seaweed.storage.svc", "seaweed.STORAGE.svc.", 80, "10.9.9.9", True),
        ("seaweed.storage.svc:8333", "seaweed.storage.svc", 80, "10.9.9.9", False),
        ("seaweed.storage.svc", "evil.seaweed.storage.svc", 80, "10.9.9.9", False),
        ("seaweed.storage.svc", "seaweed.storage.svc", 80, "169.254.169.254", False),  # a name opens no metadata server
        ("seaweed.storage.svc", "seaweed.storage.svc", 80, "127.0.0.1", False),
        ("127.0.0.1:80", "anything", 80, "127.0.0.1", True),
    ],
)
def test_what_the_administrator_opens(rule, host, port, address, is_open):
    assert (closed(host, port, address, [parse_rule(rule)]) is None) is is_open


@pytest.mark.parametrize(
    "text", ["", "a b", "host:0", "host:99999", "10.0.0.0/99", "http://host", "[::1", "u@host", ":80"]
)
def test_rules_that_are_none(text):
    with pytest.raises(ValueError, match=r"is no|has no port"):
        parse_rule(text)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "::1", "::ffff:127.0.0.1"],
)
def test_every_way_to_write_this_machine_is_refused(reach, listener, host):
    with pytest.raises(Refused, match="which workers may not reach"):
        Guard(reach()).connect(host, listener, 3)
    Guard(reach(confined=False)).connect("127.0.0.1", listener, 3).close()


def test_a_public_name_that_leads_to_this_machine_is_refused(reach, listener, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **more: real("127.0.0.1", port, **more))
    with pytest.raises(Refused, match=r"video\.example:\d+ is 127\.0\.0\.1, and a loopback address"):
        Guard(reach()).connect("video.example", listener, 3)


def test_a_name_is_resolved_once(reach, listener, monkeypatch):
    """Rebinding: a name that is public when it is checked and private when it is connected to."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host, port, **more):
        asked.append(host)
        return real("203.0.113.1" if len(asked) > 1 else "127.0.0.1", port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with Guard(reach("", None, "127.0.0.1")).connect("video.example", listener, 3) as connection:
        assert connection.getpeername() == ("127.0.0.1", listener)
    assert asked == ["video.example"]


def test_of_several_addresses_the_closed_ones_are_left_out(reach, listener, monkeypatch):
    found = [(socket.AF_INET, 1, 6, "", (address, listener)) for address in ("169.254.169.254", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    with Guard(reach("", None, f"127.0.0.1:{listener}")).connect("video.example", listener, 3) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"


def test_a_resolver_that_hangs_is_given_up(reach, monkeypatch):
    import threading

    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: [released.wait(30)][1:])
    with pytest.raises(Unavailable, match=r"not resolved within 0\.1 s"):
        Guard(reach()).connect("video.example", 80, 0.1)
    released.set()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64 + ".example", "a..b"])
def test_names_that_do_not_exist(reach, host):
    with pytest.raises((Refused, Unavailable), match="name"):
        Guard(reach()).connect(host, 80, 10)


def test_a_rule_that_is_malformed_is_said(reach):
    with pytest.raises(Refused, match=r"allow list: 'host:0'"):
        Guard(reach("", None, "host:0"))
