"""Names from data as text in a plotly figure, whatever they hold."""

from __future__ import annotations

import html


def as_text(value: object) -> str:
    """What a figure shows of a name from data: its markup as text, its quotes as they are.

    plotly takes a few tags in titles, labels and hover boxes for markup, and ``&lt;``, ``&gt;`` and ``&amp;`` for the
    signs they stand for; ``&quot;`` it would show as it is written. Not for the inside of an HTML attribute.

    Examples
    --------
    >>> as_text('<b>"s01"</b>')
    '&lt;b&gt;"s01"&lt;/b&gt;'
    """
    return html.escape(str(value), quote=False)
