# SPDX-License-Identifier: Apache-2.0
"""The scheduler: pure functions from inventory and requests to placements.

``place.py`` is the door. A request becomes a ``Demand``, the machines an ``Inventory``; for every group of linked
devices the two make a ``Problem``, which ``search.py`` solves with the lower bounds of ``bounds.py``.
"""
