"""Waiting for the pointer to rest: only the last of a quick run of gestures is acted on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Dwell:
    """Call `act` once the calls have paused for `seconds`; at once where no event loop runs (scripts, tests).

    Parameters
    ----------
    act : callable
    seconds : float
    """

    def __init__(self, act: Callable[..., None], *, seconds: float) -> None:
        self._act, self._seconds = act, seconds
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self, *arguments: object) -> None:
        """Ask for ``act(*arguments)``; an earlier call that still waits is forgotten."""
        self.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._act(*arguments)
            return
        self._waiting = loop.call_later(self._seconds, self._act, *arguments)

    def cancel(self) -> None:
        """Forget a call that still waits."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
