# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes of one or more nodes on one machine, in namespaces of its own: see cluster.Cluster."""
