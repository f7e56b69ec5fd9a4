"""Who is near to whom: blocks of a table of distances, the nearest of each clip, and when two are equally near."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

Metric = Literal["euclidean", "cosine", "correlation"]

TIE = 1e-9
"""Of the scale: two distances nearer than this are one."""

_BLOCK = 1 << 22  # distances held at a time: 32 MB


def distance_blocks(x: np.ndarray, metric: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of the table of distances (squared where euclidean), infinite from a row to itself."""
    n = len(x)
    if metric == "euclidean":
        x = x - x.mean(axis=0)  # keeps the squares below small
        squares = (x**2).sum(axis=1)
    else:
        x = x - x.mean(axis=1, keepdims=True) if metric == "correlation" else x
        length = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(length > 0, length, 1.0)
    step = max(1, _BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        inner = x[rows] @ x.T
        distance = squares[rows, None] + squares - 2 * inner if metric == "euclidean" else 1 - inner
        distance[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        yield rows, distance


def membership(distance: np.ndarray, k: int) -> np.ndarray:
    """How far each clip is among the `k` nearest, in [0, 1]: a part of one where more are equally near than fit."""
    limit, slack = kth_nearest(distance, k), slack_of(distance)
    inside = distance < limit - slack
    tied = ~inside & (distance <= limit + slack)
    room = (k - inside.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    return np.where(tied, room, inside.astype(float))


def kth_nearest(distance: np.ndarray, k: int) -> np.ndarray:
    """The distance of the `k`-th nearest, (rows, 1)."""
    return np.partition(distance, k - 1, axis=1)[:, k - 1 : k]


def slack_of(distance: np.ndarray) -> float:
    """Two distances nearer than this are one."""
    return TIE * float(np.abs(distance[np.isfinite(distance)]).max(initial=0.0))


def nearest(x: np.ndarray, k: int, metric: str) -> np.ndarray:
    """The `k` nearest other rows of each row, (n, k) in no order."""
    return np.concatenate([np.argpartition(d, k - 1, axis=1)[:, :k] for _, d in distance_blocks(x, metric)])


def nearest_in_order(x: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest rows of each row, nearest first and itself before all, (n, k) int32, and their distances."""
    places, distances = [], []
    for rows, distance in distance_blocks(x, metric):
        own = np.arange(rows.start, rows.stop)
        distance[np.arange(len(own)), own] = -np.inf
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        far = np.take_along_axis(distance, near, axis=1)
        order = np.argsort(far, axis=1, kind="stable")
        places.append(np.take_along_axis(near, order, axis=1))
        distances.append(np.maximum(np.take_along_axis(far, order, axis=1), 0.0))
    distance = np.concatenate(distances)
    return np.concatenate(places).astype(np.int32), np.sqrt(distance) if metric == "euclidean" else distance


def shared_neighbours(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The share of each row's entries that two tables of neighbours (n, k) have in common, (n,) in [0, 1]."""
    n, k = one.shape
    near = np.zeros((n, n), dtype=bool)
    np.put_along_axis(near, one, True, axis=1)
    return np.take_along_axis(near, other, axis=1).sum(axis=1) / k
