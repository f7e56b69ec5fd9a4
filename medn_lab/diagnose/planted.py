"""Whether a map points at what was planted: on synthetic clips, and only there, this can be checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medn_lab.records import Attribution, Truth


@dataclass(frozen=True)
class PlantedMass:
    """How much of an attribution falls on a planted region.

    Attributes
    ----------
    share : (n,) float array
        Of the absolute attribution, a clip each, in [0, 1].
    chance : (n,) float array
        The region's share of the picture's area.
    hits : (n,) bool array
        Whether the strongest pixel lies in the region (the pointing game).
    """

    share: np.ndarray
    chance: np.ndarray
    hits: np.ndarray

    def __repr__(self) -> str:
        return (
            f"planted mass {self.share.mean():.3f} where area alone gives {self.chance.mean():.3f},"
            f" pointing game {self.hits.mean():.3f} ({len(self.share)} clips)"
        )


def planted_mass(
    attribution: Attribution, *, truth: Truth, region: str | Literal["cue"], of: Literal["frames", "flow"]
) -> PlantedMass:
    """The share of an attribution that falls where SynthME planted a movement or the cue.

    Parameters
    ----------
    attribution : Attribution
        Of synthetic clips.
    truth : Truth
        The clips' truth.
    region : str
        ``cue``, or an AU such as ``AU12``.
    of : {"frames", "flow"}
        Which input's attribution; frames are summed over time and colour, flow over its components.

    Returns
    -------
    PlantedMass
        A share above chance says that the map points there; a clip without any attribution has share 0.

    Raises
    ------
    ValueError
        If the attribution lacks that input, or the region is not known.

    See Also
    --------
    integrated_gradients
    """
    values = getattr(attribution, of)
    if values is None:
        raise ValueError(f"the attribution has no {of}; it was made of a model or clips without them")
    axes = (1, 4) if of == "frames" else (3,)
    heat = np.abs(values).sum(axis=axes)  # (n, h, w)
    shares, chances, hits = [], [], []
    for clip_id, picture in zip(attribution.table["clip_id"], heat, strict=True):
        mask = truth.cue_region(clip_id) if region == "cue" else truth.au_mask(clip_id, region)
        total = picture.sum()
        shares.append(picture[mask].sum() / total if total > 0 else 0.0)
        chances.append(mask.mean())
        hits.append(bool(mask.flat[picture.argmax()]) and total > 0)
    return PlantedMass(np.array(shares), np.array(chances), np.array(hits))
