# SPDX-License-Identifier: Apache-2.0
"""What the verbs do to the store: no HTTP, no waiting; each call is one step that nothing can come between."""
