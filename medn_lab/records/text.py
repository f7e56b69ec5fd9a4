"""Text typed by hand, in one spelling."""

from __future__ import annotations

import unicodedata


def normalise_text(text: object) -> str:
    """The text in one spelling: full-width signs as plain ones (NFKC), no blanks at the ends, single blanks inside.

    Parameters
    ----------
    text : any
        Anything with a text form.

    Returns
    -------
    str

    Examples
    --------
    >>> normalise_text("  ｄｉｓｇｕｓｔ　 ")
    'disgust'
    """
    return " ".join(unicodedata.normalize("NFKC", str(text)).split())
