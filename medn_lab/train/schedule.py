"""What changes from step to step: the learning rate and the price of decoupling."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The rate of a step: linear to `peak` over the first tenth of `steps`, then down to 0 along a half cosine.

    Examples
    --------
    >>> [round(learning_rate(step, 100, 1.0), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = max(1, steps // 10)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def ramp(done: float, between: tuple[float, float]) -> float:
    """The share of the full decoupling weight when a share `done` of the training is over.

    Examples
    --------
    >>> [round(ramp(done, (0.25, 0.75)), 2) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    start, full = between
    if done >= full:
        return 1.0
    return max(0.0, (done - start) / (full - start))
