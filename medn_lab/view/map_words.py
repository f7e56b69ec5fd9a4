"""What is written beside maps: how they were made, how far to believe them, and what not to read from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medn_lab.records import Embedding
from medn_lab.view import theme
from medn_lab.view.markup import as_text
from medn_lab.view.sheets import wrapped

CAUTION = "Neighbours mean something here; distances between clusters, and their sizes, do not."
FEW = 15
"""Below this many clips a map is said to be of few."""

_ROOMY = 900  # pixels in which two sentences find room beside each other
_SAID_ELSEWHERE = (
    "n_neighbors_asked", "n_clips", "drawn_from", "quality_neighbors", "quality_chance", "variance", "aligned_to",
    "shift", "reason",
)  # fmt: skip
"""Parameters that are told in words of their own, not as name and value."""


def params_line(embedding: Embedding) -> str:
    """How the maps were made, as one line: method, parameters, seed, and where the clips were too few for them."""
    names = {"n_neighbors": "neighbours", "min_dist": "min. distance"}
    params = dict(embedding.params)
    made_of = params.get("n_clips", len(embedding))
    method = str(params.pop("method", "map")).replace("_", " ").upper()
    said = []
    for name, value in params.items():
        if name not in _SAID_ELSEWHERE:
            said.append(f"{names.get(name, name.replace('_', ' '))} {value}")
        if name == "n_neighbors" and "n_neighbors_asked" in params:
            few = f": {made_of} clips are few for a map" if made_of < FEW else ""
            said[-1] += f" (lowered from {params['n_neighbors_asked']}{few})"
    clips = f"{made_of} clips" if made_of == len(embedding) else f"{len(embedding)} of {made_of} clips"
    if "drawn_from" in params:
        clips += f" drawn from {params['drawn_from']}"
    aligned = f" · aligned to {params['aligned_to']}" if "aligned_to" in params else ""
    return f"{method} · {', '.join(said) or 'parameters not recorded'} · {clips}{aligned}"


def made_lines(embedding: Embedding, *, width: int) -> list[str]:
    """:func:`params_line`, escaped, as many lines as the width needs."""
    return wrapped(params_line(embedding), width - 40, 6.3)


def reading_lines(embedding: Embedding, *, width: int) -> list[str]:
    """How to read the figures above the maps, and what not to read from the maps: as many lines as the width needs."""
    params = embedding.params
    caution = wrapped(CAUTION, width - 40, 6.3)
    if "quality_neighbors" not in params:
        return caution
    quality = (
        f"Quality over {params['quality_neighbors']} neighbours: 1 is best, a random map has"
        f" {params['quality_chance']:.2f}."
    )
    return [f"{quality} {CAUTION}"] if width >= _ROOMY else [*wrapped(quality, width - 40, 6.3), *caution]


def map_title(embedding: Embedding, name: str, *, full: bool = False) -> str:
    """The heading of one map, in the branch's colour, with its trustworthiness; with all its figures where `full`.

    The share of variance stands beside the name: beside the other figures it would run into the next map.
    """
    constant = np.isnan(embedding.trustworthiness.get(name, 0.0))
    figures = ["constant" if constant else f"trustworthiness {_figure(embedding.trustworthiness, name)}"]
    heading = f"<b style='color:{map_colour(name)}'>{as_text(_full_name(name))}</b>"
    if full and not constant:
        figures.append(f"continuity {_figure(embedding.continuity, name)}")
        if embedding.params.get("shift", {}).get(name):
            figures.append(f"shift {embedding.params['shift'][name]:.2f}")
        if name in embedding.params.get("variance", {}):
            heading += f"  <span style='font-size:11px'>{embedding.params['variance'][name]:.0%} of the variance</span>"
    between = "<br>" if full else "  "
    return f"{heading}{between}<span style='font-size:11px'>{' · '.join(figures)}</span>"


def map_colour(name: str) -> str:
    """The colour of a branch's map; maps of other layers are framed in ink."""
    return theme.branch_colour(name) if name in theme.BRANCHES else theme.INK


def _full_name(name: str) -> str:
    return f"{name} branch" if name in ("motion", "emotion") else name


def _figure(values: Mapping[str, float], name: str) -> str:
    value = values.get(name)
    return "not measured" if value is None else f"{value:.3f}"
