# SPDX-License-Identifier: Apache-2.0
"""A small Kubernetes API in this process: no cluster, no container, no knowledge of this project's kinds.

``server.LocalKube`` starts it. The parts, from pure to I/O: ``apply`` (patches, server-side apply), ``schema``
(pruning, defaults, validation, CEL), ``table`` (what kubectl prints), ``store`` (objects, revisions), ``resources``
(which kinds there are, discovery, OpenAPI), ``api`` (what the verbs do), ``web`` (the wire).
"""
