"""Which positions of the face the emotion branch kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records.results import _ClipRecord
from medn_lab.records.run import describe_source


@dataclass(frozen=True, eq=False, repr=False)
class KeptTokens(_ClipRecord):
    """The spatial positions that SEVit kept of each clip, a mask for each keep rate.

    Attributes
    ----------
    masks : (n, n_scales, grid, grid) bool
        True where a position was kept, rows from the top; a position is a square of ``size / grid`` pixels.
    scores : (n, grid, grid) float32
        What they were ranked by; higher is kept first.
    mix : (n, n_scales) float32
        The weight of each scale in the branch's feature; rows sum to 1.
    table : DataFrame
    keep_rates : tuple of float
        As the model was asked to keep.
    kept_shares : tuple of float
        The share of positions really kept at each scale: what a random choice would cover of any region.
    cover : (n, n_scales) float32 or None
        The share of the planted region's area that lies in kept positions, in [0, 1]; NaN for a clip in which nothing
        was planted, None where no truth was given.
    region : str
        What was planted: ``cue``, an AU, or ``AUs``; empty without truth.
    source : dict
        Model name, weights' sha256, recipe, run record.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a"]})
    >>> masks = np.zeros((1, 1, 4, 4), bool)
    >>> masks[0, 0, 1:3, 1:3] = True
    >>> KeptTokens(masks, np.zeros((1, 4, 4)), np.ones((1, 1)), table, keep_rates=(0.25,), kept_shares=(0.25,))
    KeptTokens: 1 clips, keep rates 0.25 of 4x4 positions; cover not measured, as no truth was given
    """

    masks: np.ndarray
    scores: np.ndarray
    mix: np.ndarray
    table: pd.DataFrame
    keep_rates: tuple[float, ...]
    kept_shares: tuple[float, ...]
    cover: np.ndarray | None = None
    region: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    _arrays = ("masks", "scores", "mix", "cover")
    _meta = ("keep_rates", "kept_shares", "region", "source")
    _tuples = ("keep_rates", "kept_shares")

    def __post_init__(self) -> None:
        self._check()
        if self.masks.ndim != 4 or self.masks.shape[1] != len(self.keep_rates):
            raise ValueError(
                f"masks must be (n, n_scales, grid, grid) with a scale for each of {len(self.keep_rates)} keep rates;"
                f" these are {self.masks.shape}"
            )

    def __repr__(self) -> str:
        grid = self.masks.shape[-1]
        rates = ", ".join(f"{rate:g}" for rate in self.keep_rates)
        said = f"KeptTokens: {len(self)} clips, keep rates {rates} of {grid}x{grid} positions"
        return "; ".join(filter(None, [said, self._told_cover(), describe_source(self.source)]))

    def _told_cover(self) -> str:
        if self.cover is None:
            return "cover not measured, as no truth was given"
        planted = ~np.isnan(self.cover).all(axis=1)
        if not planted.any():
            return f"{self.region} is planted in none of them"
        covered = ", ".join(
            f"{value:.3f} (chance {share:.3f})"
            for value, share in zip(self.cover[planted].mean(axis=0), self.kept_shares, strict=True)
        )
        return f"of the {self.region} they cover {covered} in {planted.sum()} clips where it is planted"

    def to_frame(self) -> pd.DataFrame:
        """One row a keep rate, for each kind of cue: ``keep_rate, chance, cover, covers_more_often, mix, n_clips``.

        ``cover`` is the mean share of the region that is kept, ``covers_more_often`` how often a clip's cover is above
        chance; both NaN without truth. ``n_clips`` counts the clips with a cover. Where the table has a column
        ``cue_kind``, each kind has its rows, and the first column names it.
        """
        kinds = self.table["cue_kind"].to_numpy() if "cue_kind" in self.table else None
        rows: list[dict[str, object]] = []
        for kind in [None] if kinds is None else np.unique(kinds):
            own = np.ones(len(self), bool) if kinds is None else kinds == kind
            for place, (rate, share) in enumerate(zip(self.keep_rates, self.kept_shares, strict=True)):
                cover = np.array([]) if self.cover is None else self.cover[own, place]
                cover = cover[~np.isnan(cover)]
                rows.append(
                    ({} if kinds is None else {"cue_kind": kind})
                    | {
                        "keep_rate": rate,
                        "chance": share,
                        "cover": cover.mean() if len(cover) else np.nan,
                        "covers_more_often": (cover > share).mean() if len(cover) else np.nan,
                        "mix": float(self.mix[own, place].mean()),
                        "n_clips": len(cover),
                    }
                )
        return pd.DataFrame(rows)
