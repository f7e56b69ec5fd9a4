"""Parts that a record may lack: asked for where they are needed, and told in one sentence where they are not there."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def require(part: T | None, *, otherwise: str) -> T:
    """A part that cannot be done without.

    Parameters
    ----------
    part : any or None
        None is a part that the record lacks.
    otherwise : str
        What to say then: what is wrong, and what to do.

    Returns
    -------
    any
        The part, which is not None.

    Raises
    ------
    ValueError
        If it is None.

    Examples
    --------
    >>> present(0.0, otherwise="no frame rate is known; give fps")
    0.0
    >>> present(None, otherwise="no frame rate is known; give fps")
    Traceback (most recent call last):
        ...
    ValueError: no frame rate is known; give fps
    """
    if part is None:
        raise ValueError(otherwise)
    return part
