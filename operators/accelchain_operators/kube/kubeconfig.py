# SPDX-License-Identifier: Apache-2.0
"""Kubeconfigs as kubectl reads them: several files make one, and paths count from the file that holds them."""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Entry = dict[str, Any]
_PATHS = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}
_KEYS = {"clusters": "cluster", "users": "user", "contexts": "context"}


class ConfigError(Exception):
    """A kubeconfig, or the surroundings of a pod, that can't be used; the message is a sentence without its stop."""


def user_kubeconfigs(environment: Mapping[str, str] | None = None) -> list[Path]:
    """Return the user's kubeconfigs: those of ``KUBECONFIG``, else ``~/.kube/config``; they need not exist."""
    named = (os.environ if environment is None else environment).get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return list(dict.fromkeys(paths)) or [Path.home() / ".kube" / "config"]


@dataclass(frozen=True, slots=True)
class Context:
    """A context with all that it names."""

    name: str
    namespace: str
    cluster_name: str
    cluster: Entry
    user_name: str
    user: Entry


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Merged kubeconfigs: the first file that has an entry wins."""

    files: tuple[Path, ...]
    current: str
    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]
    contexts: Mapping[str, Entry]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Kubeconfig:
        """Read and merge files; those that do not exist are passed over where there are others.

        Raises:
            ConfigError: none of them exists, or one can't be read.
        """
        present = [path for path in paths if path.exists()]
        if not present:
            raise ConfigError(f"{', '.join(map(str, paths))}: there is no such kubeconfig")
        current = ""
        merged: dict[str, dict[str, Entry]] = {section: {} for section in _KEYS}
        for path in present:
            config = _read(path)
            current = current or str(config.get("current-context") or "")
            for section, entries in merged.items():
                for name, entry in _entries(config, section, path):
                    entries.setdefault(name, entry)
        return cls(tuple(present), current, merged["clusters"], merged["users"], merged["contexts"])

    def context(self, name: str | None = None) -> Context:
        """Return a context, the current one where None.

        Raises:
            ConfigError: it, its cluster or its user is not there.
        """
        wanted = name or self.current
        if not wanted:
            raise ConfigError(f"{self._where}: current-context is not set: name a context with --context")
        chosen = self._entry("context", self.contexts, wanted, "")
        cluster_name, user_name = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
        cluster = self._entry("cluster", self.clusters, cluster_name, wanted)
        user = self._entry("user", self.users, user_name, wanted) if user_name else {}
        if not cluster.get("server"):
            raise ConfigError(f"{self._where}: cluster {cluster_name} has no server")
        namespace = str(chosen.get("namespace") or "default")
        return Context(wanted, namespace, cluster_name, cluster, user_name, user)

    @property
    def _where(self) -> str:
        return ", ".join(map(str, self.files))

    def _entry(self, what: str, entries: Mapping[str, Entry], name: str, wanted_by: str) -> Entry:
        if name in entries:
            return entries[name]
        by = f", which context {wanted_by} names" if wanted_by else ""
        close = difflib.get_close_matches(name, entries, 1)
        known = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(entries)) or 'none'}"
        raise ConfigError(f"{self._where}: there is no {what} {name!r}{by}; {known}")


def pem(entry: Entry, key: str, what: str) -> str:
    """Return PEM text from ``key-data`` (base64), else from the file that ``key`` names; empty where neither is there.

    Raises:
        ConfigError: it can't be read; ``what`` names the entry.
    """
    try:
        if entry.get(f"{key}-data"):
            return base64.b64decode(entry[f"{key}-data"], validate=True).decode("ascii")
        return Path(entry[key]).read_text("ascii") if entry.get(key) else ""
    except (binascii.Error, UnicodeDecodeError, TypeError):
        raise ConfigError(f"{what}: {key} is no PEM text in base64") from None
    except OSError as error:
        raise ConfigError(f"{what}: {key} {entry[key]}: {error.strerror}") from None


def _read(path: Path) -> Entry:
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is no text file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: this is no YAML: {getattr(error, 'problem', None) or error}") from None
    if config is None:  # an empty file, as kubectl config leaves it
        return {}
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: this is no kubeconfig")
    return config


def _entries(config: Entry, section: str, path: Path) -> list[tuple[str, Entry]]:
    """Return a section's entries by name, paths made absolute."""
    found = []
    listed = config.get(section) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ConfigError(f"{path}: {section} is no list of named entries")
    for item in listed:
        entry = item.get(_KEYS[section]) or {}
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}: {section}: {item.get('name')} is no mapping")
        entry = dict(entry)
        for key in _PATHS.get(section, ()):
            if entry.get(key):
                entry[key] = str(path.parent / Path(str(entry[key])).expanduser())
        program = entry.get("exec")
        if isinstance(program, dict) and os.sep in str(program.get("command", "")):
            entry["exec"] = {**program, "command": str(path.parent / str(program["command"]))}
        found.append((str(item.get("name") or ""), entry))
    return found
