# SPDX-License-Identifier: Apache-2.0
"""A real cluster for people: ``run.py up`` starts one that stays, ``run.py down`` ends it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from realkube.cluster import Cluster
from realkube.errors import ClusterError, RefusedError

DEFAULT_ROOT = Path("/tmp/realkube")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Runs a real Kubernetes cluster on this machine, in namespaces of its own."
    )
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="the cluster's folder (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start a cluster that stays, and print the path of its kubeconfig")
    commands.add_parser("down", help="end it and remove its folder")
    commands.add_parser("kubeconfig", help="print the path of its kubeconfig")
    commands.add_parser("add-node", help="add a node and print its name")
    commands.add_parser("load", help="import the images of archives").add_argument("archives", type=Path, nargs="+")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            print(Cluster.start(arguments.root, say=_say, outlive=True).kubeconfig)
            return 0
        cluster = Cluster.attach(arguments.root)
        match arguments.command:
            case "down":
                cluster.stop()
            case "kubeconfig":
                print(cluster.kubeconfig)
            case "add-node":
                print(cluster.add_node())
            case "load":
                for archive in arguments.archives:
                    cluster.load(archive)
    except (RefusedError, ClusterError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
