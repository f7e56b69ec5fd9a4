"""Timing of work in the kernel: wait for a pause, follow a dragged slider, do long work in steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain

BREATH = 0.4
"""Seconds before the first step: a page that draws thousands of points needs the processor more than a figure does."""
_BETWEEN = 0.02  # seconds between two steps, in which messages of the page are taken up


class Timer:
    """Work that waits in the kernel's event loop; where none runs (scripts, tests) it is done at once."""

    _waiting: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Forget a call that still waits."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _wait(self, seconds: float, act: Callable[[], None]) -> bool:
        """Whether `act` waits now; it does not where no event loop runs."""
        try:
            self._waiting = asyncio.get_running_loop().call_later(seconds, act)
        except RuntimeError:
            return False
        return True


class Dwell(Timer):
    """Call `act` once the calls have paused for `seconds`, with the arguments of the last.

    Parameters
    ----------
    act : callable
    seconds : float
    """

    _puts_off = True

    def __init__(self, act: Callable[..., None], *, seconds: float) -> None:
        self._act, self._seconds = act, seconds

    def __call__(self, *arguments: object) -> None:
        """Request ``act(*arguments)`` in place of an earlier call that still waits."""
        self._arguments = arguments
        if self._puts_off:
            self.cancel()
        if self._waiting is None and not self._wait(self._seconds, self._go):
            self._go()

    def _go(self) -> None:
        self._waiting = None
        self._act(*self._arguments)


class Latest(Dwell):
    """Call `act` `seconds` after the first call of a quick run, with the arguments of the last.

    Unlike :class:`Dwell` it does not wait for a pause: while a slider is dragged the picture follows, and positions
    that were passed over while `act` was at work are never drawn.
    """

    _puts_off = False


class Steps(Timer):
    """Go through iterators a step at a time, so that clicks and other messages are handled in between."""

    _left: Iterator[object] = iter(())

    def go_through(self, *work: Iterator[object]) -> None:
        """Do this work, one iterator after the other, in place of what is not done yet."""
        self.cancel()
        self._left = chain(*work)
        if not self._wait(BREATH, self._go):
            self._go()

    def cancel(self) -> None:
        """Forget what is not done yet."""
        self._left = iter(())
        super().cancel()

    def _go(self) -> None:
        while next(self._left, None) is not None:
            if self._wait(_BETWEEN, self._go):
                return
