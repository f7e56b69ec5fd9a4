"""The clips of a result once more: drawn by their recipe, or given and held against what the record says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from medn_lab.records import Clips, ids_sha256
from medn_lab.synthme import synthetic_clips

_DRAWN = (
    "seed", "n_subjects", "clips_per_subject", "size", "n_frames", "cue", "cue_strength", "noise", "emotions_given_aus",
)  # fmt: skip
"""What of a SynthME recipe draws the same clips again; a recipe holds no table where it is the published one."""


class ClipsAgain:
    """Clips by recipe, each corpus drawn once.

    Parameters
    ----------
    given : Clips or None
        The user's own, for results on clips that no recipe draws.
    progress : bool
        Show a bar while clips are drawn.
    """

    def __init__(self, given: Clips | None, *, progress: bool) -> None:
        self._given, self._progress = given, progress
        self._drawn: list[Clips] = []

    def by_recipe(self, recipe: Mapping[str, Any], run: Mapping[str, Any]) -> Clips:
        """All clips of a recipe; ValueError where it draws none and none were given, or another recipe's."""
        if self._given is None:
            if recipe.get("corpus") != "SynthME":
                raise ValueError(
                    f"the {run['clips']['n']} clips are not in the record; give the prepared set:"
                    " rerun(record, clips=Clips.load(path))"
                )
            clips = self._draw(recipe)
        else:
            clips = self._given
        if dict(clips.recipe) != dict(recipe):
            differing = sorted(k for k in {*clips.recipe, *recipe} if clips.recipe.get(k) != recipe.get(k))
            raise ValueError(
                f"these clips were made by another recipe; they differ in {', '.join(map(str, differing))}"
            )
        return clips

    def _draw(self, recipe: Mapping[str, Any]) -> Clips:
        for clips in self._drawn:
            if dict(clips.recipe) == dict(recipe):
                return clips
        asked = {name: recipe[name] for name in _DRAWN if name in recipe}
        self._drawn = [synthetic_clips(**asked, progress=self._progress)]
        return self._drawn[0]

    def under(self, table: pd.DataFrame, recipe: Mapping[str, Any], run: Mapping[str, Any]) -> Clips:
        """The clips of a table, with its classes, in its order; ValueError where one is not there."""
        clips = self.by_recipe_of(table, recipe, run)
        # Beside weights only the ids are kept of clips that are not drawn; their classes are in the set that is given.
        return clips.with_table(table) if "subject" in table else clips.select(table["clip_id"])

    def by_recipe_of(self, table: pd.DataFrame, recipe: Mapping[str, Any], run: Mapping[str, Any]) -> Clips:
        """All clips of a recipe, those of the table among them."""
        if self._given is not None:
            _check_there(self._given, table)
        clips = self.by_recipe(recipe, run)
        _check_there(clips, table)
        return clips

    def of_run(self, table: pd.DataFrame, recipe: Mapping[str, Any], run: Mapping[str, Any]) -> Clips:
        """The clips that a network was asked about, all of them and in their order.

        A record may hold a selection of them. Rounding depends on which clips share a batch, so the whole run is made
        again where its clips are known: by their number and the sha256 of their ids.
        """
        clips = self.by_recipe_of(table, recipe, run)
        for candidate in (table, clips.table):
            if len(candidate) == run["clips"]["n"] and ids_sha256(candidate) == run["clips"]["sha256"]:
                return clips.with_table(candidate)
        raise ValueError(
            f"this record holds {len(table)} of the {run['clips']['n']} clips that its run was of, and which those were"
            " is not in it; give those clips, in their order: rerun(record, clips=...)"
        )


def _check_there(clips: Clips, table: pd.DataFrame) -> None:
    missing = sorted(set(table["clip_id"]) - set(clips.table["clip_id"]))
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(table)} clips of the record are not among these, such as {missing[0]!r}"
        )
