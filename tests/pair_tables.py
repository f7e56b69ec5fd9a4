"""Tables about pairs of clips, written by hand (tests only)."""

from __future__ import annotations

import pandas as pd


def table_of(*rows: tuple[str, object, str]) -> pd.DataFrame:
    """Clips ``c0, c1, ...`` from (subject, action_units, label)."""
    table = pd.DataFrame(rows, columns=["subject", "action_units", "label"])
    return table.assign(clip_id=[f"c{i}" for i in range(len(table))])


def swaps_of(margins: tuple[float, ...] = (5.0, 4.0, -4.0, -5.0)) -> pd.DataFrame:
    """What the four mixtures of two clips' frames and flow score, as ``swap_branches`` tells it."""
    said = ["happiness" if margin > 0 else "others" for margin in margins]
    return pd.DataFrame({"frames_of": list("aabb"), "flow_of": list("abab"), "margin": margins, "predicted": said})
