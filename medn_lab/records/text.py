"""Text as people and programs write it, in one set of signs."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd

_SIGNS = str.maketrans("、。‐–—−⁄∕‘’“”", ",.----//''\"\"")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def normalise_text(value: object) -> str:
    r"""The text of a cell with full-width and typographic signs as plain ones, without blanks around it.

    Unicode's NFKC form, with ``、`` as a comma, every dash as ``-``, curly quotes as straight ones, each run of blanks
    (no-break and full-width blanks and line breaks too) as one blank, and invisible signs taken out.

    Parameters
    ----------
    value : object
        A cell; a missing value becomes ``""``.

    Returns
    -------
    str

    Examples
    --------
    >>> normalise_text("４，Ｌ７（ｋ）"), normalise_text(" disgust\u00a0 "), normalise_text(None)
    ('4,L7(k)', 'disgust', '')
    """
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", str(value)).translate(_SIGNS))
    return " ".join(text.split())
