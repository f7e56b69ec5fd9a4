"""Timing of work in the kernel: wait for a pause, follow a dragged slider, do long work in steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator


class Timer:
    """Work that waits in the kernel's event loop."""

    _waiting: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Forget a call that still waits."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Dwell(Timer):
    """Call `act` once the calls have paused for `seconds`; at once where no event loop runs (scripts, tests).

    Parameters
    ----------
    act : callable
    seconds : float
    """

    def __init__(self, act: Callable[..., None], *, seconds: float) -> None:
        self._act, self._seconds = act, seconds

    def __call__(self, *arguments: object) -> None:
        """Ask for ``act(*arguments)``; an earlier call that still waits is forgotten."""
        self.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._act(*arguments)
            return
        self._waiting = loop.call_later(self._seconds, self._act, *arguments)


BREATH = 0.4
"""Seconds before the first step: a page that draws thousands of points needs the processor more than a figure does."""


class Steps(Timer):
    """Go through iterators a step at a time, so that clicks and other messages are handled in between.

    Where no event loop runs (scripts, tests) everything is done at once.

    Parameters
    ----------
    seconds : float
        Between two steps: time for messages of the page to be taken up.
    """

    def __init__(self, *, seconds: float = 0.02) -> None:
        self._seconds = seconds
        self._left: list[Iterator[object]] = []

    def go_through(self, *work: Iterator[object]) -> None:
        """Do this work, one iterator after the other, in place of what is not done yet."""
        self.cancel()
        self._left = list(work)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            while self._step():
                pass
            return
        self._waiting = loop.call_later(BREATH, self._next, loop)

    def cancel(self) -> None:
        """Forget what is not done yet."""
        self._left = []
        super().cancel()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting = loop.call_later(self._seconds, self._next, loop) if self._step() else None

    def _step(self) -> bool:
        while self._left:
            own = self._left[0]
            if next(own, None) is not None:
                return True
            if self._left and self._left[0] is own:
                del self._left[0]
        return False


class Latest(Timer):
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
        self._arguments: tuple[object, ...] = ()

    def __call__(self, *arguments: object) -> None:
        """Ask for ``act(*arguments)``; where a call waits already, it takes these arguments instead."""
        self._arguments = arguments
        if self._waiting is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._act(*arguments)
            return
        self._waiting = loop.call_later(self._seconds, self._go)

    def _go(self) -> None:
        self._waiting = None
        self._act(*self._arguments)
