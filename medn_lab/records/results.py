"""What a model gives: histories, predictions, features, embeddings, attributions, kept positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records.clips import _ClipRecord, _Record
from medn_lab.records.storage import Parts, describe_source
from medn_lab.records.table import counted, normalise_labels


def _joined(*facts: str) -> str:
    """What is known of a record, in one line; empty parts are left out."""
    return "; ".join(filter(None, facts))


@dataclass(frozen=True, eq=False, repr=False)
class History(_Record):
    """What happened during training, an epoch a row.

    Attributes
    ----------
    table : DataFrame
        ``epoch, seconds, learning_rate``, the mean of each loss term over the epoch (``loss, emotion, au, ...``),
        ``accuracy`` (training clips as seen), and where validation clips were given the same of them
        (``validation_loss, validation_emotion, ...``), with ``validation_uf1``.
    config : dict
        The model's and the training's configuration, the seed and the versions.
    status : str
        ``finished``, ``stopped`` (by a callback or the user) or ``interrupted``.
    source : dict
        How the training is made again: the weights that it began from, the sha256 of those that it ended with, recipe,
        callbacks, run record.
    clips : DataFrame
        What was learned from: ``part`` (``training`` or ``validation``), ``clip_id``, class and AUs.

    Examples
    --------
    >>> epochs = pd.DataFrame({"epoch": [1, 2], "seconds": [0.5, 0.4], "loss": [1.6, 1.2], "accuracy": [0.3, 0.5]})
    >>> History(epochs, status="stopped")
    History: 2 epochs in 1 s, stopped; at the end loss 1.200, accuracy 0.500
    """

    table: pd.DataFrame
    config: Mapping[str, Any] = field(default_factory=dict)
    status: str = "finished"
    source: Mapping[str, Any] = field(default_factory=dict)
    clips: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["part", "clip_id"]))

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        if not len(self):
            return f"History: no epochs, {self.status}"
        last, seconds = self.table.iloc[-1], self.table["seconds"].sum()
        shown = [name for name in ("loss", "accuracy", "validation_accuracy") if name in last]
        facts = ", ".join(f"{name.replace('_', ' ')} {last[name]:.3f}" for name in shown)
        lasted = f"History: {counted(len(self), 'epoch')} in {seconds:.0f} s, {self.status}"
        return _joined(lasted, f"at the end {facts}", describe_source(self.source))


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(_ClipRecord):
    """A model's scores of each clip.

    Attributes
    ----------
    logits : (n, n_classes) float32
        Emotion scores before softmax, columns in the order of `classes`.
    au_logits : (n, n_aus) float32 or None
        AU scores before the sigmoid, columns in the order of `aus`.
    fold : (n,) int or None
        Which fold held the clip out; None outside cross-validation.
    table : DataFrame
        The clips' table.
    classes, aus : tuple of str
    protocol : str
        The name of the class protocol, or how the split was made.
    source : dict
        Model name, weights' sha256, recipe.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "subject": ["01", "02"], "label": ["fear", "others"]})
    >>> predictions = Predictions(np.array([[2.0, 0.0], [1.0, 0.0]]), table, ("fear", "others"))
    >>> predictions.predicted.tolist(), predictions.probabilities.round(2)[0].tolist()
    (['fear', 'fear'], [0.88, 0.12])
    """

    logits: np.ndarray
    table: pd.DataFrame
    classes: tuple[str, ...]
    au_logits: np.ndarray | None = None
    aus: tuple[str, ...] = ()
    fold: np.ndarray | None = None
    protocol: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, what, named in (("logits", "classes", self.classes), ("au_logits", "AUs", self.aus)):
            scores = getattr(self, name)
            if scores is None:
                continue
            if scores.shape[1:] != (len(named),):
                raise ValueError(f"{name} are {scores.shape} but there are {len(named)} {what}")
            broken = np.isnan(scores).any(axis=1)
            if broken.any():
                first = self.table["clip_id"].iloc[int(broken.argmax())]
                raise ValueError(f"the {name} of {broken.sum()} of {len(broken)} clips are NaN, such as of {first!r}")

    def __repr__(self) -> str:
        facts = f"Predictions: {counted(len(self), 'clip')}, {len(self.classes)} classes ({', '.join(self.classes)})"
        labels = normalise_labels(self.table.get("label", pd.Series(None, self.table.index, object)))
        known = labels.isin(self.classes).to_numpy()  # the others can be neither right nor wrong
        if known.any():
            of = "them" if known.all() else f"the {known.sum()} of these classes"
            facts += f", {(self.predicted == labels)[known].mean():.3f} of {of} right"
        return _joined(facts, f"protocol {self.protocol}" if self.protocol else "", describe_source(self.source))

    @property
    def predicted(self) -> np.ndarray:
        """The class with the highest score of each clip, (n,) of str; on a tie the earlier class."""
        return np.asarray(self.classes, dtype=object)[self.logits.argmax(axis=1)]

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, (n, n_classes) in [0, 1]."""
        shifted = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    @property
    def au_probabilities(self) -> np.ndarray | None:
        """Sigmoid of the AU logits, (n, n_aus) in [0, 1], or None where the model has no motion branch."""
        # The logistic function through tanh, which cannot overflow.
        return None if self.au_logits is None else 0.5 * (1.0 + np.tanh(0.5 * self.au_logits))

    def to_frame(self) -> pd.DataFrame:
        """The table with ``predicted`` and one probability column a class (``p_surprise``)."""
        scores = pd.DataFrame(self.probabilities, columns=[f"p_{name}" for name in self.classes])
        return pd.concat([self.table.assign(predicted=self.predicted), scores], axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class BranchFeatures(_ClipRecord):
    """The features of each branch, from one forward pass.

    Attributes
    ----------
    motion, emotion, fused : (n, d) float32 or None
        None for a branch that the model does not have. The widths need not agree.
    gate : (n, d) float32 or None
        CoFM's gate: 1 takes the motion branch's feature, 0 the emotion branch's.
    table : DataFrame
    source : dict
        Model name, weights' sha256, recipe, and the decoupling switch.
    nats : (n,) float32 or None
        Information in the emotion code of each clip; None without a bottleneck.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "subject": ["01", "02"]})
    >>> features = BranchFeatures(np.ones((2, 8)), np.zeros((2, 4)), np.ones((2, 8)), table)
    >>> features.select(["b"]).motion.shape
    (1, 8)
    """

    motion: np.ndarray | None
    emotion: np.ndarray | None
    fused: np.ndarray
    table: pd.DataFrame
    gate: np.ndarray | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    nats: np.ndarray | None = None

    def __repr__(self) -> str:
        branches = {"motion": self.motion, "emotion": self.emotion, "fused": self.fused}
        widths = (f"no {name}" if one is None else f"{name} {one.shape[1]}-d" for name, one in branches.items())
        made = describe_source(self.source) or f"from {self.source.get('name', 'an unnamed model')}"
        return _joined(f"BranchFeatures: {counted(len(self), 'clip')}", ", ".join(widths), made)


@dataclass(frozen=True, eq=False, repr=False)
class Embedding(_ClipRecord):
    """A map of each branch, and of other layers, where given.

    Attributes
    ----------
    motion_xy, emotion_xy, fused_xy : (n, 2) float32 or None
        Positions without unit; only neighbourhoods mean something, distances between clusters do not.
    table : DataFrame
    params : dict
        Method, its parameters, the seed; how many clips the maps were made of and over how many neighbours they were
        judged.
    trustworthiness : dict
        Of each map, in [0, 1]: 1 when every neighbour on the map is a neighbour in feature space.
    continuity : dict
        Of each map, in [0, 1]: 1 when every neighbour in feature space is a neighbour on the map.
    layers : dict of (n, 2) float32
        Maps of further layers by name.
    source : dict
        Of the features (model name, weights' sha256, recipe), and the run records of features and map.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b", "c"]})
    >>> Embedding(None, None, np.eye(3, 2), table, params={"method": "pca"}, trustworthiness={"fused": 0.97})
    Embedding: 3 clips; method pca; trustworthiness fused 0.970; continuity not measured
    """

    motion_xy: np.ndarray | None
    emotion_xy: np.ndarray | None
    fused_xy: np.ndarray | None
    table: pd.DataFrame
    params: Mapping[str, Any] = field(default_factory=dict)
    trustworthiness: Mapping[str, float] = field(default_factory=dict)
    continuity: Mapping[str, float] = field(default_factory=dict)
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.maps:
            raise ValueError("an Embedding needs at least one map; none was given")
        shape = (len(self.table), 2)
        for name, xy in self.maps.items():
            if np.shape(xy) != shape:
                raise ValueError(f"the {name} map is {np.shape(xy)} but a map of {len(self.table)} clips is {shape}")

    def __repr__(self) -> str:
        hidden = ("reason", "n_clips") if self.params.get("n_clips") == len(self) else ("reason",)
        params = {k: v for k, v in self.params.items() if k not in hidden and not isinstance(v, Mapping)}
        facts = [", ".join(f"{name} {value}" for name, value in params.items()), self.params.get("reason", "")]
        for what in ("trustworthiness", "continuity"):
            figures = [f"{name} {value:.3f}" for name, value in getattr(self, what).items() if np.isfinite(value)]
            facts.append(f"{what} {', '.join(figures) or 'not measured'}")
        return f"Embedding: {counted(len(self), 'clip')}; {_joined(*facts, describe_source(self.source))}"

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """Every map that there is by name, (n, 2) each: motion, emotion, fused, then the further layers."""
        branches = {"motion": self.motion_xy, "emotion": self.emotion_xy, "fused": self.fused_xy}
        return {name: xy for name, xy in (branches | dict(self.layers)).items() if xy is not None}

    def _rows(self, rows: np.ndarray) -> dict[str, Any]:
        return super()._rows(rows) | {"layers": {name: xy[rows] for name, xy in self.layers.items()}}

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts["arrays"] |= {f"layer_{place}": xy for place, xy in enumerate(self.layers.values())}
        return parts | {"meta": {**parts["meta"], "layers": list(self.layers)}}

    @classmethod
    def _fields(cls, parts: Parts, folder: Path) -> dict[str, Any]:
        fields = super()._fields(parts, folder)
        names = fields.get("layers", ())
        return fields | {"layers": {name: parts["arrays"][f"layer_{place}"] for place, name in enumerate(names)}}


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(_ClipRecord):
    """How much each input value contributed to a target, signed, in the input's shape.

    Attributes
    ----------
    frames : (n, t, h, w, 3) float32 or None
    flow : (n, h, w, c) float32 or None
        None for an input that the target does not see.
    table : DataFrame
    target, branch, method : str
        What was attributed, through which branch (``both``, ``motion`` or ``emotion``), and how.
    sanity : dict
        Completeness error, infidelity, sensitivity, randomisation check, as far as they were measured.
    scores, baseline_scores : (n,) float32 or None
        The target's value for each clip, and for the same clip without motion or change.
    params : dict
        The method's own arguments: with them the map can be made again.
    source : dict
        Model name, weights' sha256, recipe, run record.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a"]})
    >>> flow = np.full((1, 4, 4, 2), 0.5)
    >>> Attribution(None, flow, table, "disgust", "motion", "saliency", sanity={"completeness": 0.01})
    Attribution of disgust (motion, saliency): 1 clip; completeness 0.010
    """

    frames: np.ndarray | None
    flow: np.ndarray | None
    table: pd.DataFrame
    target: str
    branch: str
    method: str
    sanity: Mapping[str, float] = field(default_factory=dict)
    scores: np.ndarray | None = None
    baseline_scores: np.ndarray | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        checked = ", ".join(f"{name} {value:.3f}" for name, value in self.sanity.items()) or "unchecked"
        what = f"Attribution of {self.target} ({self.branch}, {self.method}): {counted(len(self), 'clip')}"
        return _joined(what, checked, describe_source(self.source))

    def with_sanity(self, figures: Mapping[str, float]) -> Attribution:
        """The same maps with more sanity figures; a figure of the same name is replaced."""
        return replace(self, sanity={**self.sanity, **figures})

    @property
    def totals(self) -> np.ndarray:
        """The sum of all values of each clip, (n,) float64; a complete map adds up to score minus baseline score."""
        given = [array for array in (self.frames, self.flow) if array is not None]
        return sum(array.reshape(len(array), -1).sum(axis=1, dtype=np.float64) for array in given)

    @property
    def frames_heat(self) -> np.ndarray | None:
        """Frames' values summed over colour, (n, t, h, w), signed; None without frames."""
        return None if self.frames is None else self.frames.sum(axis=-1)

    @property
    def flow_heat(self) -> np.ndarray | None:
        """Flow's values summed over its components, (n, h, w), signed; None without flow."""
        return None if self.flow is None else self.flow.sum(axis=-1)

    @property
    def course(self) -> np.ndarray | None:
        """Attribution per frame, (n, t), signed: the frame's values summed over space; None without frames."""
        return None if self.frames is None else self.frames.sum(axis=(2, 3, 4))


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
        Those of the model's config.
    kept_shares : tuple of float
        The share of positions really kept at each scale: what a random choice would cover of any region.
    cover : (n, n_scales) float32 or None
        The share of the planted region's area that is in kept positions, in [0, 1]; NaN for a clip in which nothing
        was planted, None where no truth was given.
    random_cover : (n, n_scales, n_draws) float32 or None
        The same of random models, the same architecture with random weights; None where none was drawn.
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
    KeptTokens: 1 clip
    """

    masks: np.ndarray
    scores: np.ndarray
    mix: np.ndarray
    table: pd.DataFrame
    keep_rates: tuple[float, ...]
    kept_shares: tuple[float, ...]
    cover: np.ndarray | None = None
    random_cover: np.ndarray | None = None
    region: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """One row a keep rate, for each kind of cue, with the cover and its controls.

        ``keep_rate, chance, cover, random_cover, random_low, random_high, covers_more_often, mix, n_clips, n_draws``.
        ``cover`` is the mean share of the region that is kept; ``random_cover``, ``random_low`` and ``random_high`` are
        the mean, the lowest and the highest of it over ``n_draws`` random models; ``covers_more_often`` is how often a
        clip's cover is above chance. All are NaN without truth. ``n_clips`` counts the clips with a cover. Where the
        table has a column ``cue_kind``, each kind has its rows, and the first column names it.
        """
        kinds = self.table["cue_kind"].to_numpy() if "cue_kind" in self.table else np.repeat("", len(self))
        cover = np.full(self.mix.shape, np.nan) if self.cover is None else self.cover
        random = np.empty((*self.mix.shape, 0)) if self.random_cover is None else self.random_cover
        rows = []
        for kind in np.unique(kinds):
            for place, (rate, share) in enumerate(zip(self.keep_rates, self.kept_shares, strict=True)):
                own = kinds == kind
                known = own & ~np.isnan(cover[:, place])
                found, draws = pd.Series(cover[known, place]), pd.DataFrame(random[known, place]).mean()
                rows.append({
                    "cue_kind": kind, "keep_rate": rate, "chance": share, "cover": found.mean(),
                    "random_cover": draws.mean(), "random_low": draws.min(), "random_high": draws.max(),
                    "covers_more_often": (found > share).mean() if len(found) else np.nan,
                    "mix": float(self.mix[own, place].mean()), "n_clips": len(found), "n_draws": len(draws),
                })  # fmt: skip
        return pd.DataFrame(rows).drop(columns=[] if "cue_kind" in self.table else "cue_kind")


@dataclass(frozen=True, eq=False, repr=False)
class LivePrediction:
    """A model's predictions of a few clips, whole and with one of its inputs blanked.

    Attributes
    ----------
    predictions : Predictions
        Of the whole model.
    features : BranchFeatures
        Of the same pass, the gate among them.
    frames_alone : Predictions or None
        With a flow of zero everywhere: the model sees the frames through the emotion branch, and no movement. None for
        a model or clips without one of the two inputs.
    flow_alone : Predictions or None
        With every frame replaced by the onset: the model sees the flow through the motion branch, and a face that
        neither changes colour nor moves.
    kept : KeptTokens or None
        The positions that the emotion branch kept; None without one.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"]})
    >>> predictions = Predictions(np.eye(2), table, ("happiness", "disgust"))
    >>> live = LivePrediction(predictions, BranchFeatures(None, None, np.zeros((2, 4)), table))
    >>> live.predictions.predicted.tolist(), live.kept
    (['happiness', 'disgust'], None)
    """

    predictions: Predictions
    features: BranchFeatures
    frames_alone: Predictions | None = None
    flow_alone: Predictions | None = None
    kept: KeptTokens | None = None

    def __repr__(self) -> str:
        return f"LivePrediction: {self.predictions}"
