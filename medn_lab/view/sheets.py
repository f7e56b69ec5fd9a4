"""What pictures of tables share: columns that must be there, the rule as lines, the sheet that says why it is empty."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.theme import as_text


def check_columns(table: pd.DataFrame, needed: tuple[str, ...], maker: str) -> None:
    """Raise ValueError where the table lacks a column; `maker` is the function whose table it should be."""
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ValueError(f"the table lacks {', '.join(missing)}; give the table of medn.diagnose.{maker}")


def nothing_here(table: pd.DataFrame, *, title: str, width: int) -> go.Figure:
    """An empty sheet with the sentence that says why."""
    none = table.attrs.get("none") or "none here, because no two clips share an AU set and differ in emotion"
    figure = go.Figure()
    theme.finish(figure, width=width, height=190, title=title, margin=(20, 20, 54, 20))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    text = "<br>".join(wrapped(f"{none[:1].upper()}{none[1:]}.", width - 60, 7.2))
    rule = "<br>".join(rule_lines(table, width))
    small = f"<br><br><span style='font-size:11px'>{rule}</span>" if rule else ""
    figure.add_annotation(
        text=text + small, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14}
    )
    return figure


def rule_lines(table: pd.DataFrame, width: int) -> list[str]:
    """The rule that the table carries in its ``attrs``, escaped, as lines of a subtitle; none where it has none."""
    rule = str(table.attrs.get("rule", ""))
    return wrapped(rule, width - 40, 6.3) if rule else []


def wrapped(text: str, width: int, letter: float) -> list[str]:
    """Escaped lines that find room in `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and (len(lines[-1]) + 1 + len(word)) * letter <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [as_text(line) for line in lines]


def counted(n: int, what: str) -> str:
    """A number of things in words.

    Examples
    --------
    >>> counted(1, "pair"), counted(3, "pair")
    ('1 pair', '3 pairs')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
