"""The records of the output side: histories, predictions, features, embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from medn_lab.records.rows import check_rows, check_table, normalise_labels, positions
from medn_lab.records.run import describe_source
from medn_lab.records.storage import Parts, read_parts, write_parts

R = TypeVar("R", bound="_Record")


class _Record:
    """Saving and loading for records made of arrays (or None), tables, and JSON-ready metadata."""

    table: pd.DataFrame
    _arrays: tuple[str, ...] = ()
    _tables: tuple[str, ...] = ("table",)
    _meta: tuple[str, ...] = ()
    _tuples: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as a folder of ``.npy``, ``.csv`` and ``.json`` files."""
        arrays = {name: getattr(self, name) for name in self._arrays if getattr(self, name) is not None}
        tables = {name: getattr(self, name) for name in self._tables}
        meta = {name: getattr(self, name) for name in self._meta}
        return write_parts(path, type(self).__name__, Parts(arrays, tables, {}, meta))

    @classmethod
    def load(cls: type[R], path: str | os.PathLike[str]) -> R:
        """Read a record of this kind that :meth:`save` wrote."""
        parts = read_parts(path, cls.__name__)
        meta = {n: tuple(v) if n in cls._tuples else v for n, v in parts.meta.items()}
        arrays = {name: parts.arrays.get(name) for name in cls._arrays}
        tables = {name: parts.tables[name] for name in cls._tables if name in parts.tables or name == "table"}
        made: Any = cls
        return made(**tables, **arrays, **meta)


class _ClipRecord(_Record):
    """A record with one row a clip."""

    def __len__(self) -> int:
        return len(self.table)

    def select(self: R, clip_ids: Iterable[str]) -> R:
        """The named clips, in the order named; ValueError if none is named or one is not here."""
        rows = positions(self.table, clip_ids, owner=f"this {type(self).__name__}")
        arrays = {n: getattr(self, n)[rows] for n in self._arrays if getattr(self, n) is not None}
        whole: Any = self
        return replace(whole, table=self.table.iloc[rows], **arrays)

    def _check(self) -> None:
        object.__setattr__(self, "table", check_table(self.table, owner=type(self).__name__))
        check_rows(len(self.table), owner=type(self).__name__, **{n: getattr(self, n) for n in self._arrays})


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

    _tables = ("table", "clips")
    _meta = ("config", "status", "source")

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        if not len(self):
            return f"History: no epochs, {self.status}"
        last = self.table.iloc[-1]
        said = [f"loss {last['loss']:.3f}", f"accuracy {last['accuracy']:.3f}"]
        if "validation_accuracy" in last:
            said.append(f"validation accuracy {last['validation_accuracy']:.3f}")
        seconds = self.table["seconds"].sum()
        lasted = f"{len(self)} epochs in {seconds:.0f} s, {self.status}; at the end {', '.join(said)}"
        return "; ".join(filter(None, [f"History: {lasted}", describe_source(self.source)]))


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(_ClipRecord):
    """What a model says of each clip.

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
    >>> said = Predictions(np.array([[2.0, 0.0], [1.0, 0.0]]), table, ("fear", "others"))
    >>> said.predicted.tolist(), said.probabilities.round(2)[0].tolist()
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

    _arrays = ("logits", "au_logits", "fold")
    _meta = ("classes", "aus", "protocol", "source")
    _tuples = ("classes", "aus")

    def __post_init__(self) -> None:
        self._check()
        if self.logits.shape[1:] != (len(self.classes),):
            raise ValueError(f"logits are {self.logits.shape} but there are {len(self.classes)} classes")
        if self.au_logits is not None and self.au_logits.shape[1:] != (len(self.aus),):
            raise ValueError(f"au_logits are {self.au_logits.shape} but there are {len(self.aus)} AUs")
        for name in ("logits", "au_logits"):
            scores = getattr(self, name)
            broken = np.isnan(scores).any(axis=1) if scores is not None else np.zeros(0, dtype=bool)
            if broken.any():
                first = self.table["clip_id"].iloc[int(broken.argmax())]
                raise ValueError(f"the {name} of {broken.sum()} of {len(broken)} clips are NaN, such as of {first!r}")

    def __repr__(self) -> str:
        said = f"Predictions: {len(self)} clips, {len(self.classes)} classes ({', '.join(self.classes)})"
        if "label" in self.table and len(self):
            right = (self.predicted == normalise_labels(self.table["label"]).to_numpy()).mean()
            said += f", {right:.3f} of them right"
        protocol = f"protocol {self.protocol}" if self.protocol else ""
        return "; ".join(filter(None, [said, protocol, describe_source(self.source)]))

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

    _arrays = ("motion", "emotion", "fused", "gate", "nats")
    _meta = ("source",)

    def __post_init__(self) -> None:
        self._check()

    def __repr__(self) -> str:
        widths = ", ".join(
            f"{name} {getattr(self, name).shape[1]}-d" if getattr(self, name) is not None else f"no {name}"
            for name in ("motion", "emotion", "fused")
        )
        made = describe_source(self.source) or f"from {self.source.get('name', 'an unnamed model')}"
        return f"BranchFeatures: {len(self)} clips; {widths}; {made}"


@dataclass(frozen=True, eq=False, repr=False)
class Embedding(_ClipRecord):
    """A map of each branch, and of other layers where they were asked for.

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

    _arrays = ("motion_xy", "emotion_xy", "fused_xy")
    _meta = ("params", "trustworthiness", "continuity", "source")

    def __post_init__(self) -> None:
        self._check()
        if not self.maps:
            raise ValueError("an Embedding needs at least one map; none was given")
        for name, xy in self.maps.items():
            if np.shape(xy) != (len(self.table), 2):
                raise ValueError(
                    f"the {name} map is {np.shape(xy)} but a map of {len(self.table)} clips is ({len(self.table)}, 2)"
                )

    def __repr__(self) -> str:
        params = {name: value for name, value in self.params.items() if not isinstance(value, Mapping)}
        if params.get("n_clips") == len(self):
            del params["n_clips"]
        reason = params.pop("reason", "")
        said = [", ".join(f"{name} {value}" for name, value in params.items()), reason]
        for what in ("trustworthiness", "continuity"):
            figures = {name: value for name, value in getattr(self, what).items() if np.isfinite(value)}
            values = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            said.append(f"{what} {values or 'not measured'}")
        return f"Embedding: {len(self)} clips; {'; '.join(filter(None, [*said, describe_source(self.source)]))}"

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """Every map that there is by name, (n, 2) each: motion, emotion, fused, then the further layers."""
        branches = {name.removesuffix("_xy"): getattr(self, name) for name in self._arrays}
        return {name: xy for name, xy in (branches | dict(self.layers)).items() if xy is not None}

    def select(self, clip_ids: Iterable[str]) -> Embedding:
        """The named clips, in the order named; ValueError if none is named or one is not here.

        The maps' figures stay those of all clips that the maps were made of.
        """
        rows = positions(self.table, clip_ids, owner="this Embedding")
        chosen = {name: xy[rows] for name in self._arrays if (xy := getattr(self, name)) is not None}
        layers = {name: xy[rows] for name, xy in self.layers.items()}
        return replace(self, table=self.table.iloc[rows], layers=layers, **chosen)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as a folder of ``.npy``, ``.csv`` and ``.json`` files."""
        arrays = {name: xy for name in self._arrays if (xy := getattr(self, name)) is not None}
        arrays |= {f"layer_{place}": xy for place, xy in enumerate(self.layers.values())}
        meta = {name: getattr(self, name) for name in self._meta} | {"layers": list(self.layers)}
        return write_parts(path, "Embedding", Parts(arrays, {"table": self.table}, {}, meta))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Embedding:
        """Read a record of this kind that :meth:`save` wrote."""
        parts = read_parts(path, "Embedding")
        meta = dict(parts.meta)
        layers = {name: parts.arrays[f"layer_{place}"] for place, name in enumerate(meta.pop("layers", ()))}
        arrays: dict[str, Any] = {name: parts.arrays.get(name) for name in cls._arrays}
        return cls(table=parts.tables["table"], layers=layers, **arrays, **meta)
