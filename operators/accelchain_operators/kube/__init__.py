# SPDX-License-Identifier: Apache-2.0
"""The thin shell: client, store, queue, applier, events, streams and the kopf transport."""
