# SPDX-License-Identifier: Apache-2.0
"""``accelchain kfp``: none of it imports the package kfp."""

from __future__ import annotations

import click

from accelchain.cli.kfp_install import install


@click.group()
def kfp() -> None:
    """Prepare a cluster with Kubeflow Pipelines."""


kfp.add_command(install)
