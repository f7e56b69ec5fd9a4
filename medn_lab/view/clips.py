"""Figures of one clip: onset, apex, flow and scores; flow by channel; registration; magnified motion; kept tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import plotly.graph_objects as go

from medn_lab.records import Clips, KeptTokens, Predictions, positions, require
from medn_lab.view import images, theme
from medn_lab.view.answers import au_bars, score_bars
from medn_lab.view.images import enlarge
from medn_lab.view.marks import Tile, tiles
from medn_lab.view.rows import clip_moments, clip_row, coded_aus, describe, shown_frames
from medn_lab.view.theme import as_text, wrapped

PIXELS = 256  # longer side to which a picture is enlarged before it is embedded
DIFFERENCE_GAIN = 4.0  # by how much the difference of two frames is made larger before it is drawn around grey
MOST_AUS = 7
WAYS = ("u, right", "v, down")


def plot_clip(clips: Clips, clip_id: str, *, predictions: Predictions | None = None, width: int = 1020) -> go.Figure:
    """Draw one clip: onset, apex, the flow between them over the face, its AUs and the model's scores.

    The flow panel shows magnitude as colour and direction as arrows. The largest magnitude and the factor by which the
    arrows are lengthened are written below it. Faces are those of the viewing copy where the clips have one.

    Parameters
    ----------
    clips : Clips
        What they lack (frames, flow, AUs, the apex) is named in its place.
    clip_id : str
    predictions : Predictions or None
        Adds AU probabilities and emotion scores.
    width : int
        In pixels.

    Returns
    -------
    Figure
        Below 200 kB: pictures are embedded as WebP.

    Raises
    ------
    ValueError
        If there is no such clip, or it is not among the predictions.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> figure = plot_clip(clips, clips.table["clip_id"][0])
    >>> figure.layout.title.text
    '<b>synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14</b> · 240 ms'
    """
    place, row = clip_row(clips, clip_id)
    moments, (frames, which) = clip_moments(clips, clip_id), shown_frames(clips, place)
    coded = coded_aus(row, list(clips.aus))
    there = "<br>".join([theme.au_name(au) for au, value in coded.items() if value][:MOST_AUS])
    lacking = there or ("no AU is coded" if any(value is not None for value in coded.values()) else "AUs are not coded")
    scores: list[Any] = [Tile(None, "AUs", lacking), Tile(None, "Emotion scores", "no predictions were given")]
    if predictions is not None:
        scores = [au_bars(predictions, clip_id, most=MOST_AUS) or scores[0], score_bars(predictions, clip_id)]
    right = max(0.28 * width, 250)
    cell = (width - 24 - right) / 3
    duration = "" if moments.milliseconds is None else f" · {moments.milliseconds[-1]:.0f} ms"
    columns: list[Any] = []
    for name, at, note in (("onset", moments.onset, which), ("apex", moments.apex, "")):
        title = wrapped(name if at is None or not moments.named else moments.describe(at), cell)
        one = Tile(None, title, "no frames in these clips" if frames is None else "the apex is not known")
        if frames is not None and at is not None:
            one = Tile(enlarge(frames[at], max(PIXELS, *frames.shape[1:3])), title, wrapped(note, cell))
        columns.append(one)
    flow, picture = images.motion_field(clips, place)[0], None
    note = "no flow in these clips" if clips.flow is None else "flow coded as colours"
    if flow is not None:
        ground = enlarge(images.onset_face(clips, clip_id), PIXELS)
        picture, note = images.draw_flow(ground, flow, scaled=images.scaled_by_clip(clips.recipe))
    columns += [Tile(picture, "flow, onset to apex", wrapped(note, cell)), scores]
    return tiles(columns, title=f"<b>{describe(row)}</b>{duration}", cell=cell, last=right / cell)


def plot_flow(inputs: Clips | Mapping[str, Clips], clip_id: str, *, width: int | None = None) -> go.Figure:
    """Draw the flow of one clip channel by channel, as the network gets it, under one or several recipes.

    A column is a recipe (a single one has its channels in a row). ``u`` (to the right) and ``v`` (down) are red where
    they are positive and blue where they are negative; the strain is bright where it is large; a colour coding is shown
    as the picture that it is. Pixels are drawn as squares, so that the size of the input can be seen. Each panel has
    its own scale, written below it. The flow of a pack is no displacement in pixels, and its heading says so.

    Parameters
    ----------
    inputs : Clips or mapping of str to Clips
        The same clip prepared by each recipe, by the recipe's name.
    clip_id : str
    width : int or None
        In pixels; 220 a column where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clip is missing from one of the inputs, or one has no flow.

    See Also
    --------
    medn_lab.data.FlowRecipe : how each input is made.
    plot_clip : the same motion as arrows over the face.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> figure = plot_flow(clips, clips.table["clip_id"][0])
    >>> figure.layout.title.text
    '<b>synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14</b>'
    """
    named, columns = {inputs.recipe.get("name", "flow"): inputs} if isinstance(inputs, Clips) else inputs, []
    for name, clips in named.items():
        if clips.flow is None:
            raise ValueError(f"the clips of recipe {name!r} have no flow to draw")
        place, row = clip_row(clips, clip_id)
        columns.append(_channels(name, np.asarray(clips.flow[place], dtype=np.float32), clips.recipe))
    if len(columns) == 1:
        columns = [[panel] for panel in [*columns[0], Tile(None), Tile(None)][:3]]  # room for the title
    most = max(map(len, columns))
    columns = [[*panels, *[Tile(None)] * (most - len(panels))] for panels in columns]
    return tiles(columns, title=f"<b>{describe(row)}</b>", cell=220 if width is None else width // len(columns))


def _channels(name: str, flow: np.ndarray, recipe: Mapping[str, object]) -> list[Tile]:
    """The tiles of one recipe: a colour picture, or u, v and the strain where there is one."""
    title = f"<b>{as_text(name)}</b><br>{flow.shape[1]}×{flow.shape[0]} px, {flow.shape[-1]} channels"
    scaled = images.scaled_by_clip(recipe)
    title += "<br>" + images.SCALED_NOTE.replace(": ", ":<br>") if scaled else ""
    panels, notes = [np.clip(flow * 255 + 0.5, 0, 255).astype(np.uint8)], ["hue: direction,<br>brightness: length"]
    if recipe.get("coding") != "hsv":
        largest = np.maximum(np.abs(flow).max(axis=(0, 1)), 1e-6)
        panels = [images.signed_colours(flow[..., k] / largest[k]) for k in (0, 1)]
        notes = [f"{way}: ±{most:.2f}{'' if scaled else ' px'}" for way, most in zip(WAYS, largest, strict=False)]
        if flow.shape[-1] == 3:
            panels.append(images.magnitude_colours(np.clip(flow[..., 2] / largest[2], 0, 1)).astype(np.uint8))
            notes.append(f"strain: up to {largest[2]:.2f}")
    times = max(1, PIXELS // max(flow.shape[:2]))  # enlarged without smoothing
    pictures = [one.repeat(times, 0).repeat(times, 1) for one in panels]
    return [Tile(*one) for one in zip(pictures, [title, *[""] * len(panels)], notes, strict=False)]


def plot_registration(
    onset: np.ndarray, *, before: np.ndarray, after: np.ndarray, flow_before: np.ndarray, flow_after: np.ndarray,
    left_before: float | None = None, left_after: float | None = None, width: int = 600,
) -> go.Figure:  # fmt: skip
    """Draw what taking the head's motion out changes: a frame and its flow from the onset, before and after.

    Parameters
    ----------
    onset, before, after : (h, w, 3) uint8
        The onset frame; another frame as it came, and moved onto the onset.
    flow_before, flow_after : (h', w', 2) float
        Flow from the onset to each of the two, in pixels.
    left_before, left_after : float or None
        How far the head's points are from where they should be, in pixels, where that is known.
    width : int
        In pixels.

    Returns
    -------
    Figure
        Left: before. Right: after. Above: the difference from the onset, around grey and four times as strong. Below:
        the flow over the onset, each with its own scale, written below it.

    See Also
    --------
    medn_lab.data.register : moves a frame onto the onset.

    Examples
    --------
    >>> frame = np.zeros((32, 32, 3), np.uint8)
    >>> still = np.zeros((32, 32, 2))
    >>> figure = plot_registration(frame, before=frame, after=frame, flow_before=still, flow_after=still)
    >>> [note.text for note in figure.layout.annotations]
    ['<b>before</b>', 'difference from the onset × 4', 'longest 0.00 px of 32, arrows ×1', '<b>after</b>', ...
    """
    columns = []
    moments = ("before", before, flow_before, left_before), ("after", after, flow_after, left_after)
    for name, frame, flow, error in moments:
        picture, note = images.draw_flow(enlarge(onset, PIXELS), flow)
        off = "" if error is None else f": {error:.{2 if error >= 0.095 else 3}f} px off"
        # At half the size: the mean of four pixels has half the sensor's noise.
        change = (frame.astype(np.float32) - onset).mean(axis=2)
        pooled = images.resize_field(change, change.shape[0] // 2, change.shape[1] // 2)
        shade = np.clip(128 + DIFFERENCE_GAIN * pooled, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
        difference = f"difference from the onset × {DIFFERENCE_GAIN:g}"
        columns.append([Tile(enlarge(shade, PIXELS), f"<b>{name}</b>{off}", difference), Tile(picture, note=note)])
    return tiles(columns, title="<b>Registration</b>", cell=width // 2)


def plot_magnification(
    clips: Clips, clip_id: str, *, factors: Sequence[float] = (1, 5, 10, 20), width: int | None = None
) -> go.Figure:
    """Draw the onset of a clip and its apex with the motion magnified more and more.

    Parameters
    ----------
    clips : Clips
        With frames; the viewing copy is drawn where there is one.
    clip_id : str
    factors : sequence of float
        From 1, the apex as it is.
    width : int or None
        In pixels; 200 a picture where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clips have no frames, or a factor is below 1.

    See Also
    --------
    medn_lab.widgets.ClipPlayer : the same, moving.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> figure = plot_magnification(clips, clips.table["clip_id"][0], factors=(1, 10))
    >>> figure.layout.title.text
    '<b>synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14</b>'
    """
    place, row = clip_row(clips, clip_id)
    frames, which = shown_frames(clips, place)
    onset = require(frames, otherwise="these clips have no frames to magnify")[0]
    shown = [images.magnified_apex(clips, clip_id, factor, size=PIXELS) for factor in factors]
    columns = [[Tile(enlarge(onset, PIXELS), "onset")], *([Tile(*one)] for one in shown)]
    cell = 200 if width is None else width // len(columns)
    return tiles(columns, title=f"<b>{describe(row)}</b>", cell=cell, subtitle=which)


def plot_kept_tokens(kept: KeptTokens, clip_id: str, *, clips: Clips, width: int | None = None) -> go.Figure:
    """Draw the positions that the emotion branch kept of a clip: what it ranked them by, then each keep rate.

    Positions that were dropped are darkened. On synthetic clips a white line goes around the planted region that `kept`
    was measured against, and under each picture is the share of it that is covered, with chance (the share of positions
    kept).

    Parameters
    ----------
    kept : KeptTokens
    clip_id : str
    clips : Clips
        With frames; joined by clip_id.
    width : int or None
        In pixels; 216 a picture where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clip is not in both, or the clips have no frames.

    See Also
    --------
    medn_lab.diagnose.kept_tokens

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> kept = medn.diagnose.kept_tokens(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> figure = plot_kept_tokens(kept, clips.table["clip_id"][0], clips=clips)
    >>> figure.layout.title.text
    '<b>Kept tokens</b> · synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14'
    """
    place = int(positions(kept.table, clip_id, owner="these kept tokens")[0])
    row, about = clip_row(clips, clip_id)
    frames = require(shown_frames(clips, row)[0], otherwise="these clips have no frames to draw kept positions over")
    outlined = clips.truth is not None and kept.region
    outline = images.region_of(clips, clip_id, kept.region) if outlined else np.zeros(clips.size, dtype=bool)
    face, scores = enlarge(frames[clip_moments(clips, clip_id).apex or 0], 360), kept.scores[place]
    ranks = scores.ravel().argsort().argsort().reshape(scores.shape) / max(1, scores.size - 1)
    glow = images.magnitude_colours(cv2.resize(ranks, face.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    ranking = (0.5 * face.mean(axis=2, keepdims=True) + 0.5 * glow).astype(np.uint8)
    shown = [Tile(images.draw_outline(ranking, outline), "<b>ranking</b>", "bright: kept first")]
    for scale, (rate, mask) in enumerate(zip(kept.keep_rates, kept.masks[place], strict=True)):
        note = "<br>".join(filter(None, [f"weight {kept.mix[place, scale]:.2f}", cover_text(kept, place, scale)]))
        title = f"<b>keep {rate:g}</b> · {int(mask.sum())} of {mask.size}"
        shown.append(Tile(images.draw_outline(images.draw_kept(face, mask), outline), title, note))
    cell = 216 if width is None else (width - 24) // len(shown)
    return tiles([[one] for one in shown], title=f"<b>Kept tokens</b> · {describe(about)}", cell=cell)


def cover_text(kept: KeptTokens, place: int, scale: int) -> str:
    """The share of the planted region that was kept of a clip at a keep rate, with chance; empty where not measured."""
    if kept.cover is None:
        return ""
    cover = kept.cover[place, scale]
    covered = f"{cover:.0%} of the {kept.region}, chance {kept.kept_shares[scale]:.0%}"
    return f"no {kept.region} in this clip" if np.isnan(cover) else covered
