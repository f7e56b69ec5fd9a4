"""How many threads torch takes for one operation, for as long as it matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads for torch within the block, as before behind it; None leaves their number alone.

    The order of sums, and with it the last digits of a result, depends on it.

    Examples
    --------
    >>> before = torch.get_num_threads()
    >>> with torch_threads(1):
    ...     within = torch.get_num_threads()
    >>> within, torch.get_num_threads() == before
    (1, True)
    """
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
