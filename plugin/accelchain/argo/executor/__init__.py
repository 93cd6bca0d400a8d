# SPDX-License-Identifier: Apache-2.0
"""The executor plugin: the HTTP server that Argo's agent asks, in the same pod. Light: nothing here imports kopf."""
