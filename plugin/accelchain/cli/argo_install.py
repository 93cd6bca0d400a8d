# SPDX-License-Identifier: Apache-2.0
"""``accelchain argo install | kubectl apply -f -``."""

from __future__ import annotations

import re

import click

from accelchain.api.common import DNS_LABEL
from accelchain.argo.core.yaml_text import write
from accelchain.argo.install import DEFAULT_CONTROLLER, DEFAULT_IMAGE, Wanted, objects
from accelchain.cli.errors import Refused
from accelchain.cli.terminal import out

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@click.command()
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace that workflows run in.")
@click.option("--image", default=DEFAULT_IMAGE, show_default=True, help="Image of the operators, which serves steps.")
@click.option(
    "--image-pull-policy",
    "pull_policy",
    type=click.Choice(["Always", "IfNotPresent", "Never"]),
    default="IfNotPresent",
    show_default=True,
    help="When it is pulled.",
)
@click.option(
    "--service-account",
    default="",
    help="ServiceAccount of the workflows: it gets the rights of Argo's agent and a Secret with its token.",
)
@click.option(
    "--controller-account",
    "controller",
    default=DEFAULT_CONTROLLER,
    show_default=True,
    metavar="NAMESPACE/NAME",
    help="ServiceAccount of Argo's controller: it gets a right that its own roles lack.",
)
@click.option(
    "--without-plugin",
    is_flag=True,
    help="Leave the plugin out: for the task-set operator and for resource templates.",
)
def install(
    namespace: str, image: str, pull_policy: str, service_account: str, controller: str, without_plugin: bool
) -> None:
    """Write the objects that Argo needs in a namespace, for kubectl apply -f -."""
    if not re.fullmatch(DNS_LABEL, namespace) or len(namespace) > 63:
        raise Refused(f"--namespace {namespace}: this is no namespace: use lower-case letters, digits and '-'.")
    if service_account and not _NAME.fullmatch(service_account):
        raise Refused(
            f"--service-account {service_account}: this is no name: use lower-case letters, digits, '-', '.'."
        )
    of, slash, account = controller.partition("/")
    if not slash or not re.fullmatch(DNS_LABEL, of) or not _NAME.fullmatch(account):
        raise Refused(f"--controller-account {controller}: write namespace/name, such as {DEFAULT_CONTROLLER}.")
    if not image.strip():
        raise Refused("--image: name the image of the operators, such as registry.example/team/accelchain-operator:1.")
    made = objects(Wanted(namespace, image, pull_policy, service_account, not without_plugin, controller))
    out(write(made).rstrip("\n"))
