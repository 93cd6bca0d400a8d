# SPDX-License-Identifier: Apache-2.0
"""Where the plugin serves where nothing else is said; imports nothing, so that the command's help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
"""The agent calls localhost: it is in the same pod, and nobody else needs to."""
PORT: Final = 17471
TOKEN_FILE: Final = Path("/var/run/argo/token")
"""Where the agent's pod mounts it (argoproj/argo-workflows v4.1.2, workflow/controller/agent.go:createAgentPod)."""
