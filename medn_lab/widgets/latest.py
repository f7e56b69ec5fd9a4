"""Following a slider that is dragged: the latest position is drawn, those passed over never are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Latest:
    """Call `act` soon after the first call of a quick run, with the arguments of the last; at once without a loop.

    Unlike :class:`Dwell` it does not wait for a pause: while a slider is dragged the picture follows, and positions
    that were passed over while `act` was at work are never drawn.

    Parameters
    ----------
    act : callable
    seconds : float
    """

    def __init__(self, act: Callable[..., None], *, seconds: float) -> None:
        self._act, self._seconds = act, seconds
        self._waiting: asyncio.TimerHandle | None = None
        self._arguments: tuple[object, ...] = ()

    def __call__(self, *arguments: object) -> None:
        """Ask for ``act(*arguments)``; where a call waits already, it takes these arguments instead of its own."""
        self._arguments = arguments
        if self._waiting is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._act(*arguments)
            return
        self._waiting = loop.call_later(self._seconds, self._go)

    def cancel(self) -> None:
        """Forget a call that still waits."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _go(self) -> None:
        self._waiting = None
        self._act(*self._arguments)
