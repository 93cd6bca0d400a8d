# SPDX-License-Identifier: Apache-2.0
"""Helm without helm: ``$(tools/helm_setup.sh) tools/helm.py lint|template|install|upgrade|uninstall …``.

A thin command line over Helm's own library (the wheel helm-sdkpy), with helm's words for what it offers. ``template``
renders as for a cluster that knows all kinds of this project's charts; hooks are rendered with ``--hooks``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from throwaway_api import throwaway_api

if TYPE_CHECKING:
    import helm_sdkpy

DEADLINE_SECONDS = 300


def values_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of all files and ``--set`` options, later ones over earlier ones.

    Raises:
        ValueError: a file holds no mapping, or an option is no PATH=VALUE.
    """
    merged: dict[str, Any] = {}
    for path in arguments.values:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise ValueError(f"{path}: values are a mapping")
        _merge(merged, content)
    for option in arguments.set:
        path, equals, text = option.partition("=")
        if not path or not equals:
            raise ValueError(f"--set {option}: write PATH=VALUE, such as operators.replicas=1")
        value = yaml.safe_load(text)
        for key in reversed(path.split(".")):
            value = {key: value}
        _merge(merged, value)
    return merged


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def template(arguments: argparse.Namespace) -> str:
    """Return a chart's objects as YAML."""
    if os.environ.get("HELM_DRIVER") != "memory":  # no release is to be stored
        # The library sees the environment that this process began with, whatever is set afterwards.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "HELM_DRIVER": "memory"})
    with throwaway_api() as kubeconfig, tempfile.NamedTemporaryFile("w", suffix=".kubeconfig") as file:
        json.dump(kubeconfig, file)
        file.flush()
        with _configuration(arguments.namespace, file.name) as configuration:
            release = asyncio.run(
                _helm().Install(configuration).run(
                    arguments.release, str(arguments.chart), values_of(arguments), wait=False, server_side_apply=True
                )
            )  # fmt: skip
    if arguments.hooks:
        return "".join(f"---\n# Source: {hook['path']}\n{hook['manifest']}\n" for hook in release.get("hooks", ()))
    return str(release.get("manifest", ""))  # left out where a chart has no objects


def lint(arguments: argparse.Namespace) -> str:
    """Return a line a message; SystemExit where one is an error."""
    with _configuration() as configuration:
        found = asyncio.run(_helm().Lint(configuration).run(str(arguments.chart)))
    # The library passes on how bad a message is and where, and not its text (helm-sdkpy 0.1.32).
    severities = ("unknown", "info", "warning", "error")
    messages = [(message["Severity"], message["Path"]) for message in found["Messages"] or ()]
    lines = [f"{severities[severity]}: {path}" for severity, path in messages]
    if found["Errors"] or any(severity == len(severities) - 1 for severity, _ in messages):
        raise SystemExit("\n".join([*lines, f"{arguments.chart}: lint failed; `template` names the fault"]))
    return "\n".join([*lines, f"{arguments.chart}: no error\n"])


def install(arguments: argparse.Namespace) -> str:
    """Install a chart and return its notes."""
    with _configuration(arguments.namespace, arguments.kubeconfig, arguments.context) as configuration:
        return _told(
            _helm().Install(configuration).run(
                arguments.release, str(arguments.chart), values_of(arguments),
                create_namespace=arguments.create_namespace, wait=arguments.wait, timeout=arguments.timeout,
                server_side_apply=True,
            )
        )  # fmt: skip


def upgrade(arguments: argparse.Namespace) -> str:
    """Upgrade a release and return its notes."""
    with _configuration(arguments.namespace, arguments.kubeconfig, arguments.context) as configuration:
        return _told(
            _helm().Upgrade(configuration).run(
                arguments.release, str(arguments.chart), values_of(arguments), wait=arguments.wait,
                timeout=arguments.timeout, server_side_apply=True,
            )
        )  # fmt: skip


def uninstall(arguments: argparse.Namespace) -> str:
    """Uninstall a release."""
    with _configuration(arguments.namespace, arguments.kubeconfig, arguments.context) as configuration:
        run = _helm().Uninstall(configuration).run(arguments.release, wait=arguments.wait, timeout=arguments.timeout)
        asyncio.run(run)
    return f"release {arguments.release} is uninstalled\n"


def _told(action: Any) -> str:
    began = time.monotonic()
    release = asyncio.run(action)
    info = release["info"]
    seconds = time.monotonic() - began
    done = f"{release['name']} revision {release['version']}: {info['status']} after {seconds:.1f} s"
    return f"{done}\n{info.get('notes', '')}"


def _helm() -> Any:
    import helm_sdkpy  # half a second: not for --help

    return helm_sdkpy


@contextmanager
def _configuration(
    namespace: str = "default", kubeconfig: str | None = None, context: str | None = None
) -> Iterator[helm_sdkpy.Configuration]:
    with _helm().Configuration(namespace=namespace, kubeconfig=kubeconfig, kubecontext=context) as configuration:
        yield configuration


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="helm.py", description="Helm by its library, where helm is not installed.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for work in (lint, template, install, upgrade, uninstall):
        assert work.__doc__ is not None
        command = commands.add_parser(work.__name__, help=work.__doc__)
        command.set_defaults(work=work)
        if work is not lint:
            command.add_argument("release")
            command.add_argument("-n", "--namespace", default="default")
        if work is not uninstall:
            command.add_argument("chart", type=Path)
        if work in (template, install, upgrade):
            command.add_argument("-f", "--values", action="append", default=[], metavar="FILE")
            command.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="VALUE is YAML")
        if work in (install, upgrade, uninstall):
            command.add_argument("--kubeconfig", metavar="FILE")
            command.add_argument("--context")
            command.add_argument("--wait", action="store_true", help="until all objects are ready (or gone)")
            command.add_argument("--timeout", type=int, default=DEADLINE_SECONDS, metavar="SECONDS")
        if work is template:
            command.add_argument("--hooks", action="store_true", help="hooks, and nothing else")
        if work is install:
            command.add_argument("--create-namespace", action="store_true")
    return root


def main(argv: Sequence[str]) -> int:
    """Run a command; 1 where Helm refuses, and why."""
    arguments = parser().parse_args(argv)
    try:
        sys.stdout.write(arguments.work(arguments))
    except (_helm().HelmError, OSError, ValueError, yaml.YAMLError) as error:
        print(f"helm.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
