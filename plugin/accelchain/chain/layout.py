# SPDX-License-Identifier: Apache-2.0
"""Where the boxes of a chain's picture go: layers from left to right, long edges in lanes of their own. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NODE_WIDTH, NODE_HEIGHT = 176.0, 78.0
LANE_HEIGHT = 26.0
LAYER_GAP, ROW_GAP = 128.0, 30.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions in pixels, the origin at the upper left."""

    nodes: Mapping[str, Point]
    """Upper left corner of every box of NODE_WIDTH x NODE_HEIGHT."""
    edges: Mapping[tuple[int, str, str], tuple[Point, ...]]
    """Points that an edge (its index, source, target) passes: source's right side, lanes, target's left side."""
    width: float
    height: float


def layers_of(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of every node: one more than the highest of those before it.

    Raises:
        ValueError: the graph has a cycle.
    """
    before: dict[str, set[str]] = {node: set() for node in nodes}
    for source, target in edges:
        before[target].add(source)
    layer: dict[str, int] = {}
    while len(layer) < len(before):
        ready = [n for n in before if n not in layer and before[n] <= layer.keys()]
        if not ready:
            raise ValueError("the chain has a cycle")
        for node in ready:
            layer[node] = max((layer[b] + 1 for b in before[node]), default=0)
    return layer


def layout(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> Layout:
    """Place the nodes of a directed acyclic graph.

    Raises:
        ValueError: the graph has a cycle.
    """
    layer = layers_of(nodes, edges)
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in nodes:
        rows[layer[node]].append(node)
    paths: list[list[str]] = []
    neighbours: dict[str, list[str]] = {}
    lanes: set[str] = set()
    for index, (source, target) in enumerate(edges):
        path = [source]
        for depth in range(layer[source] + 1, layer[target]):
            lane = f"\0{index}.{depth}"  # NUL: no function can be called so
            lanes.add(lane)
            rows[depth].insert(0, lane)
            path.append(lane)
        path.append(target)
        paths.append(path)
        for a, b in itertools.pairwise(path):
            neighbours.setdefault(b, []).append(a)
            neighbours.setdefault(a, []).append(b)
    _reduce_crossings(rows, neighbours)
    centres, height = _centres(rows, lanes)
    corner: dict[str, Point] = {}
    for depth, row in enumerate(rows):
        for node in row:
            if node not in lanes:
                corner[node] = (depth * (NODE_WIDTH + LAYER_GAP), centres[node] - NODE_HEIGHT / 2)
    routes: dict[tuple[int, str, str], tuple[Point, ...]] = {}
    exits, entries = _ports(paths, centres, layer)
    for index, path in enumerate(paths):
        source, target = path[0], path[-1]
        points: list[Point] = [(corner[source][0] + NODE_WIDTH, exits[index])]
        for depth, lane in enumerate(path[1:-1], layer[source] + 1):
            x = depth * (NODE_WIDTH + LAYER_GAP)
            points += [(x, centres[lane]), (x + NODE_WIDTH, centres[lane])]
        points.append((corner[target][0], entries[index]))
        routes[index, source, target] = tuple(points)
    width = len(rows) * NODE_WIDTH + (len(rows) - 1) * LAYER_GAP
    return Layout(corner, routes, width, height)


def _reduce_crossings(rows: list[list[str]], neighbours: Mapping[str, list[str]]) -> None:
    """Order each row by the mean place of its neighbours, to and fro (barycentre heuristic)."""
    for sweep in range(6):
        place = {node: i / max(1, len(row) - 1) if len(row) > 1 else 0.5 for row in rows for i, node in enumerate(row)}
        for row in rows if sweep % 2 == 0 else reversed(rows):
            row.sort(
                key=lambda node: sum(place[n] for n in neighbours.get(node, [node])) / len(neighbours.get(node, [node]))
            )
            for i, node in enumerate(row):
                place[node] = i / max(1, len(row) - 1) if len(row) > 1 else 0.5


def _centres(rows: list[list[str]], lanes: set[str]) -> tuple[dict[str, float], float]:
    """Stack each row's items; rows are centred on one another."""

    def extent(node: str) -> float:
        return LANE_HEIGHT if node in lanes else NODE_HEIGHT

    heights = [sum(map(extent, row)) + ROW_GAP * (len(row) - 1) for row in rows]
    total = max(heights, default=0.0)
    centres: dict[str, float] = {}
    for row, height in zip(rows, heights, strict=True):
        y = (total - height) / 2
        for node in row:
            centres[node] = y + extent(node) / 2
            y += extent(node) + ROW_GAP
    return centres, total


def _ports(
    paths: Sequence[Sequence[str]], centres: Mapping[str, float], layer: Mapping[str, int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Spread the edges that leave or enter one side of a box, in the order of where they go or come from."""

    def spread(side: int, other: int) -> dict[int, float]:
        groups: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            groups.setdefault(path[side], []).append(index)
        heights: dict[int, float] = {}
        for node, members in groups.items():
            members.sort(key=lambda i: centres[paths[i][other]])
            for rank, index in enumerate(members):
                step = NODE_HEIGHT / (len(members) + 1)
                heights[index] = centres[node] - NODE_HEIGHT / 2 + step * (rank + 1)
        return heights

    return spread(0, 1), spread(-1, -2)
