# SPDX-License-Identifier: Apache-2.0
"""``accelchain kfp install | kubectl apply -f -``."""

from __future__ import annotations

import re

import click

from accelchain.api.common import DNS_LABEL
from accelchain.argo.core.yaml_text import write
from accelchain.cli.errors import Refused
from accelchain.cli.terminal import out
from accelchain.kfp.install import DEFAULT_ACCOUNT, DEFAULT_NAMESPACE, PROFILE_ACCOUNT, Wanted, objects

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HINT = """\
# Artifacts in S3: a chain's worker opens them with the Secret that ConfigMap kfp-launcher of the run's namespace names,
# else with mlpipeline-minio-artifact (keys accesskey and secretkey). Where the store is in the cluster, open its host
# for workers: helm upgrade ... --set 'worker.allow={seaweedfs.kubeflow}'
"""


@click.command()
@click.option(
    "-n",
    "--namespace",
    default=None,
    help=f"Namespace that runs are in (default: {DEFAULT_NAMESPACE}, unless profiles are named).",
)
@click.option("--service-account", default=DEFAULT_ACCOUNT, show_default=True, help="ServiceAccount of the runs there.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAMESPACE",
    help=f"A profile of a Kubeflow for several users: its {PROFILE_ACCOUNT} gets the rights. May be repeated.",
)
@click.option(
    "--all-profiles",
    is_flag=True,
    help="Every profile, those to come included: ClusterRoles that Kubeflow adds to kubeflow-edit and kubeflow-view.",
)
def install(namespace: str | None, service_account: str, profiles: tuple[str, ...], all_profiles: bool) -> None:
    """Write the rights that a pipeline's launchers need, for kubectl apply -f -."""
    if namespace is None:
        namespace = "" if profiles or all_profiles else DEFAULT_NAMESPACE
    else:
        _check_namespace("--namespace", namespace)
    for profile in profiles:
        _check_namespace("--profile", profile)
    if not _NAME.fullmatch(service_account):
        raise Refused(
            f"--service-account {service_account}: this is no name: use lower-case letters, digits, '-', '.'."
        )
    made = objects(Wanted(namespace, service_account, tuple(dict.fromkeys(profiles)), all_profiles))
    out(_HINT + write(made).rstrip("\n"))


def _check_namespace(option: str, name: str) -> None:
    if not re.fullmatch(DNS_LABEL, name) or len(name) > 63:
        raise Refused(f"{option} {name}: this is no namespace: use lower-case letters, digits and '-'.")
