# SPDX-License-Identifier: Apache-2.0
"""``python -m accelchain_runtime.devices``: print the inventory of this machine as one JSON document."""

from __future__ import annotations

import json
from typing import Any

from accelchain_runtime.devices.inventory import inventory
from accelchain_runtime.devices.pool import cache_folder, open_cl


def main() -> None:
    """Print the inventory."""
    api = open_cl(cache_folder())
    entries: list[dict[str, Any]] = api.describe() if api else []
    print(json.dumps(inventory(entries)))


if __name__ == "__main__":
    main()
