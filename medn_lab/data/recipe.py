"""How a clip becomes the network's input, as one record that travels with every prediction."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from medn_lab.data.flow import FlowMethod

FlowCoding = Literal["uv", "uv_strain", "hsv"]
FaceAlign = Literal["box", "eyes"]
RecipeName = Literal["default", "hsv_tvl1", "uv_strain_28", "uv_strain_48"]


@dataclass(frozen=True)
class FlowRecipe:
    """Everything about how frames and flow are made.

    Attributes
    ----------
    name : str
        What to call it; changes nothing.
    method : {"dis", "farneback", "tvl1", "tvl1_skimage"}
        As in :func:`optical_flow`.
    compute_size : int
        Side of the face crop in pixels at which flow is computed, where the frames have that many. Coarser faces are
        computed at their own resolution, or at twice `size` if that is more.
    size : int
        Side of what the network gets, frames and flow alike.
    n_frames : int
        Frames a clip, spread from onset to offset, one of them the apex.
    coding : {"uv", "uv_strain", "hsv"}
        ``uv``: displacement in pixels at `size`, 2 channels. ``uv_strain``: with the optical strain as a third channel,
        ``sqrt(u_x**2 + v_y**2 + (u_y + v_x)**2 / 2)``, the Frobenius norm of the symmetric gradient, without unit.
        ``hsv``: a colour picture, 3 channels in [0, 1]: hue the direction, value the length over the clip's longest.
        Lengths of two clips cannot be compared then, and values are no pixels.
    outside : float
        Weight of the flow outside the face, from 0 (masked) to 1 (kept).
    blur : float or None
        As in :func:`optical_flow`.
    register : bool
        Whether frames are moved onto the onset (shift, rotation, scale) before flow is computed.
    align : {"box", "eyes"}
        ``box``: the square of the detector or around the landmarks. ``eyes``: frames are turned until the onset's eyes
        are level and cropped to 2.5 times the extent of eyes, nose tip and mouth corners; where these are unknown the
        crop is the box, and a row of ``problems`` says so.

    Examples
    --------
    >>> FlowRecipe.named("uv_strain_28").size
    28
    >>> FlowRecipe.from_json(FlowRecipe(size=96).to_json()) == FlowRecipe(size=96)
    True
    """

    name: str = "default"
    method: FlowMethod = "dis"
    compute_size: int = 256
    size: int = 64
    n_frames: int = 8
    coding: FlowCoding = "uv"
    outside: float = 0.0
    blur: float | None = None
    register: bool = True
    align: FaceAlign = "box"

    def __post_init__(self) -> None:
        if self.method not in get_args(FlowMethod):
            raise ValueError(f"no flow method {self.method!r}; there are {', '.join(get_args(FlowMethod))}")
        if self.coding not in get_args(FlowCoding):
            raise ValueError(f"no flow coding {self.coding!r}; there are {', '.join(get_args(FlowCoding))}")
        if self.align not in get_args(FaceAlign):
            raise ValueError(f"no face alignment {self.align!r}; there are {', '.join(get_args(FaceAlign))}")
        if not 8 <= self.size <= self.compute_size:
            raise ValueError(f"size must be from 8 to compute_size ({self.compute_size}), not {self.size}")
        if self.n_frames < 2:
            raise ValueError(f"a clip needs at least 2 frames, n_frames is {self.n_frames}")
        if not 0.0 <= self.outside <= 1.0:
            raise ValueError(f"outside is a weight from 0 to 1, not {self.outside}")
        if self.blur is not None and self.blur < 0:
            raise ValueError(f"blur is a sigma in pixels, not {self.blur}")

    @classmethod
    def named(cls, name: RecipeName) -> FlowRecipe:
        """A recipe of this library or of the field.

        ``default`` has the flow that is nearest to the truth (``tests/benchmarks/bench_data.py``).

        ``hsv_tvl1`` is that of the public preprocessing tool of MEDN's first author; whether the paper used it is not
        known. A 256 px crop with level eyes, 2.5 times as large as eyes, nose tip and mouth corners; dual TV-L1 from
        onset to apex; flow outside the face's outline divided by 3; colours whose brightness is the length over the
        clip's longest; 128 px. It differs from the tool in three ways. The tool aligns onset and apex by landmarks of
        their own, here one alignment serves the clip and frames are registered. The outline comes from 68 or more
        landmarks and is an ellipse otherwise. Without OpenCV's contrib modules TV-L1 is scikit-image's; a warning says
        so and the recipe of the clips names it. On SynthME both branches had an accuracy of .875 with it, of .847 with
        ``default``, both at 64 px: a difference of .03, 95 % interval -.00 to .06 (288 clips, 24 persons, 3 trainings,
        ``tests/benchmarks/bench_recipes.csv``).

        ``uv_strain_28`` and ``uv_strain_48`` are the field's small inputs: u, v and optical strain, in pixels here. In
        the packs that circulate each channel is scaled clip by clip (:func:`read_flow_pack`).
        """
        if name not in RECIPES:
            raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
        return RECIPES[name]

    @property
    def channels(self) -> int:
        """Channels of the flow: 2 or 3."""
        return 2 if self.coding == "uv" else 3

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values; `align` only where it is not ``box``, as earlier versions wrote recipes."""
        fields = dataclasses.asdict(self)
        return fields if self.align != "box" else {name: value for name, value in fields.items() if name != "align"}

    def to_json(self) -> str:
        """The recipe as JSON text."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FlowRecipe:
        """The recipe of such fields; ValueError if one is unknown to this version, or no value of its kind."""
        if not isinstance(fields, Mapping):
            raise ValueError(f"a FlowRecipe is made of named fields; this is a {type(fields).__name__}")
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise ValueError(f"a FlowRecipe has no {', '.join(unknown)}; it was written by another version of medn_lab")
        try:
            return cls(**fields)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"a field of the FlowRecipe is of the wrong kind: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> FlowRecipe:
        """The recipe that :meth:`to_json` wrote."""
        return cls.from_dict(json.loads(text))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        FlowRecipe(),
        FlowRecipe(name="hsv_tvl1", method="tvl1", size=128, coding="hsv", outside=1.0 / 3.0, align="eyes"),
        FlowRecipe(name="uv_strain_28", size=28, coding="uv_strain"),
        FlowRecipe(name="uv_strain_48", size=48, coding="uv_strain"),
    )
}
"""The recipes known by name."""
