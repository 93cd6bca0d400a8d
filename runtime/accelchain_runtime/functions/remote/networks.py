# SPDX-License-Identifier: Apache-2.0
"""Which addresses a confined worker may connect to. Pure: names and numbers in, a reason or none out.

What is judged is always the address that a connection would go to, never the text of a host: ``localhost``,
``2130706433``, ``0x7f.1``, ``[::ffff:127.0.0.1]`` and a public name that resolves to 127.0.0.1 are all one to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, and one address that Azure gives to every virtual machine.
_CLOSED_V4 = {
    "this host": ("0.0.0.0/8",),
    "loopback": ("127.0.0.0/8",),
    "link-local": ("169.254.0.0/16",),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "shared (CGNAT)": ("100.64.0.0/10",),
    "the cloud's own": ("168.63.129.16/32",),
    "reserved": (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
    ),
    "multicast": ("224.0.0.0/4",),
}
_CLOSED_V6 = {
    "unspecified": ("::/128",),
    "loopback": ("::1/128",),
    "link-local": ("fe80::/10",),
    "private (ULA)": ("fc00::/7",),
    "multicast": ("ff00::/8",),
    "reserved": ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
}
_CLOSED = {kind: tuple(map(ip_network, networks)) for kind, networks in _CLOSED_V4.items()}
_CLOSED6 = {kind: tuple(map(ip_network, networks)) for kind, networks in _CLOSED_V6.items()}
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_OWN = {"this host", "unspecified", "loopback", "link-local", "multicast"}
"""Kinds that a rule opens only by address: a name is for whoever runs its DNS zone to point here."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the plan's ``allow``."""

    host: str = ""
    """A name, lower case; empty where the rule is a network."""
    network: Network | None = None
    port: int | None = None
    """None: every port."""


def parse_rule(text: str) -> Rule:
    """Parse ``host``, ``host:port``, ``address``, ``address:port``, ``[v6]:port`` or a network in CIDR form.

    Raises:
        ValueError: it is none of these.
    """
    given, port = text.strip(), None
    if given.startswith("["):
        given, closed, rest = given[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no host, host:port or network")
        port = _port(rest[1:], text) if rest else None
    elif given.count(":") == 1:
        given, _, number = given.partition(":")
        port = _port(number, text)
    if not given or any(character.isspace() or character in "@?#" for character in given):
        raise ValueError(f"{text!r} is no host, host:port or network")
    try:
        return Rule(network=ip_network(given, strict=False), port=port)
    except ValueError:
        if "/" in given or ":" in given:
            raise ValueError(f"{text!r} is no network, for instance 10.0.0.0/8") from None
    return Rule(host=_name(given), port=port)


def closed(host: str, port: int, address: str, rules: Iterable[Rule]) -> str | None:
    """Say why a connection is refused.

    Args:
        host: as the user or a server named it.
        port: where to connect.
        address: what the connection would go to: an IPv4 or IPv6 address, maybe with a zone.
        rules: what the administrator opened.

    Returns:
        What kind of address it is, for instance ``loopback``; None if it may be connected to.
    """
    target = _unwrapped(ip_address(address.partition("%")[0]))
    kind = _kind(target)
    if kind is None:
        return None
    for rule in rules:
        if rule.port not in (None, port):
            continue
        if rule.network is not None:
            if rule.network.version == target.version and target in rule.network:
                return None
        elif rule.host == _name(host) and kind not in _OWN:
            return None
    return kind


def _kind(target: Address) -> str | None:
    """What kind of closed address it is; None: an address of the public internet."""
    for kind, networks in (_CLOSED if target.version == 4 else _CLOSED6).items():
        if any(target in network for network in networks):
            return kind
    return None if target.version == 4 or target in _GLOBAL_V6 else "reserved"


def _unwrapped(target: Address) -> Address:
    """The IPv4 address inside a mapped or translated (NAT64) one."""
    if isinstance(target, IPv6Address):
        if target.ipv4_mapped is not None:
            return target.ipv4_mapped
        if target in _NAT64:
            return IPv4Address(int(target) & 0xFFFFFFFF)
    return target


def _name(host: str) -> str:
    return host.rstrip(".").lower()


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f"{whole!r} has no port from 1 to 65535")
    return int(text)
