"""The randomised-weights check: a map that stays when the network forgets what it learned shows no learning."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from medn_lab.diagnose.attribution_contract import METHODS, attribute, check_method
from medn_lab.model import MEDN
from medn_lab.records import Attribution, Clips

Randomise = Literal["all", "modules", "layers"]

FAR_SEED = 918_273_645_000


@dataclass(frozen=True, eq=False)
class RandomisationCheck:
    """How alike the maps of a model and of the same network with random weights are.

    Attributes
    ----------
    table : DataFrame
        One row a stage and input: ``stage`` (what was randomised, from the output down), ``input``, ``spearman`` and
        ``spearman_absolute`` (rank correlation over pixels of the signed and of the absolute map, mean over clips and
        draws), ``ssim`` (structural similarity of the absolute maps, NaN of courses in time), ``n_clips``, ``n_draws``.
    threshold : float
        From which rank correlation with all weights random a map is marked.
    attribution : Attribution
        The model's own map, with the outcome among its sanity figures.
    randomised : Attribution
        The map of the last draw with all weights random: what :func:`planted_mass` should be compared with.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> check = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1)
    >>> check.table[["stage", "input", "n_clips"]].iloc[0].astype(str).tolist()
    ['all weights', 'frames', '1']
    """

    table: pd.DataFrame
    threshold: float
    attribution: Attribution
    randomised: Attribution

    @property
    def surviving(self) -> tuple[str, ...]:
        """The inputs whose map survives random weights and should not be read as what the model has learned."""
        last = self.table[self.table["stage"] == "all weights"]
        alike = last[["spearman", "spearman_absolute"]].max(axis=1) >= self.threshold
        return tuple(last["input"][alike])

    def __repr__(self) -> str:
        told = []
        for row in self.table[self.table["stage"] == "all weights"].itertuples():
            if np.isnan(row.spearman) and np.isnan(row.spearman_absolute):
                told.append(f"the map of the {row.input} is 0 everywhere, so it cannot be compared")
                continue
            word = "SURVIVES" if row.input in self.surviving else "changes with"
            structure = "" if np.isnan(row.ssim) else f"; SSIM {row.ssim:.2f}"
            told.append(
                f"the map of the {row.input} {word} random weights (rank correlation {row.spearman:.2f} signed,"
                f" {row.spearman_absolute:.2f} absolute{structure})"
            )
        n = f"{len(self.attribution)} clips, marked from {self.threshold:g}"
        return f"RandomisationCheck of {self.attribution.method} for {self.attribution.target}: {'; '.join(told)}; {n}"


def randomisation_check(
    model: MEDN,
    clips: Clips,
    *,
    target: str,
    method: str = "integrated_gradients",
    params: Mapping[str, Any] | None = None,
    randomise: Randomise = "all",
    n_draws: int = 2,
    threshold: float = 0.5,
    seed: int = 0,
    batch_size: int = 16,
    progress: bool = False,
) -> RandomisationCheck:
    """Compare a method's maps with those that it gives when the network's weights are random.

    Maps are summed over time and colour (or the flow's components) to one picture a clip, signed and absolute; of
    :func:`frame_ablation` the course over time is compared. A map that ranks the pixels the same way without anything
    learned shows the clip's own movement, or the places that SEVit keeps by its measured, unlearned part, and not what
    the model made of them: it is *marked*.

    Parameters
    ----------
    model : MEDN
        Left as it was; its copies are randomised.
    clips : Clips
        A dozen do.
    target : str
        As in :func:`saliency`.
    method : str
        A method by its function's name, such as ``integrated_gradients`` or ``grad_cam``.
    params : mapping, optional
        The method's own arguments; those it has no default for here are taken from its signature.
    randomise : {"all", "modules", "layers"}
        All weights at once; or a cascade from the output down, module by module or layer by layer, whose last stage
        is all weights.
    n_draws : int
        Sets of random weights.
    threshold : float
        In (0, 1].
    seed : int
        Of the random weights.
    batch_size : int
        Clips at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    RandomisationCheck
        Rank correlations in [-1, 1], near 0 for maps that learning made. ``attribution`` carries the larger of the two
        as ``randomised_frames`` and ``randomised_flow``, and the threshold beside them.

    Raises
    ------
    ValueError
        If the model has no such target, there is no such method, or an argument is out of its range.

    See Also
    --------
    bare_change : a map that must be marked.
    planted_mass

    References
    ----------
    Adebayo et al.: "Sanity checks for saliency maps", NeurIPS 2018. Layers draw their weights by their own
    initialisation, other parameters from a normal distribution with their trained mean and spread. The threshold is
    ours.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> model = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> check = randomisation_check(model, clips, target="happiness", method="saliency", n_draws=1)
    >>> bool((check.table["spearman_absolute"] <= 1).all())
    True
    """
    if randomise not in ("all", "modules", "layers"):
        raise ValueError(f"randomise must be all, modules or layers; got {randomise!r}")
    if n_draws < 1 or not 0 < threshold <= 1:
        raise ValueError(f"n_draws must be at least 1 and threshold in (0, 1]; got {n_draws} and {threshold}")
    named = {"method": method, "params": method_params(method, params)}
    run: dict[str, Any] = {"target": target, **named, "batch_size": batch_size}
    own = attribute(model, clips, progress=progress, **run)
    rows, randomised = [], own
    for draw in range(n_draws):
        for stage, changed in _randomised(model, randomise, seed=seed + draw):
            randomised = attribute(changed, clips, progress=progress, **run)
            rows += [{"stage": stage, "input": name, **figures} for name, figures in _alike(own, randomised)]
    table = pd.DataFrame(rows).groupby(["stage", "input"], sort=False).mean().reset_index()
    table = table.assign(n_clips=len(own), n_draws=n_draws)
    last = table[table["stage"] == "all weights"].set_index("input")[["spearman", "spearman_absolute"]].max(axis=1)
    figures = {f"randomised_{name}": float(alike) for name, alike in last.items()}
    marked = own.with_sanity({**figures, "randomised_threshold": threshold})
    return RandomisationCheck(table, threshold, marked, randomised)


def method_params(method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """A method's own arguments: those given, and for the others its function's defaults.

    Parameters
    ----------
    method : str
    params : mapping or None

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is no such method, or it has no argument of a given name.
    """
    import inspect

    from medn_lab import diagnose

    check_method(method)
    signature = inspect.signature(getattr(diagnose, method)).parameters
    shared = {"model", "clips", "target", "batch_size", "progress"}
    own = {name: value.default for name, value in signature.items() if name not in shared}
    unknown = sorted(set(params or ()) - set(own))
    if unknown:
        raise ValueError(f"{method} has no {', '.join(unknown)}; it takes {', '.join(own) or 'nothing of its own'}")
    return own | dict(params or {})


def _randomised(model: MEDN, randomise: str, *, seed: int) -> Iterator[tuple[str, MEDN]]:
    """The stages of one draw: what is random by now, and the network in which it is."""
    fresh = copy.deepcopy(model)
    _draw_weights(fresh, seed=seed)
    if randomise == "all":
        yield "all weights", fresh
        return
    depth = 1 if randomise == "modules" else 2
    state = fresh.state_dict()
    groups = list(dict.fromkeys(".".join(name.split(".")[:depth]) for name in state))[::-1]
    changed = copy.deepcopy(model)
    for place, group in enumerate(groups):
        inside = {name: value for name, value in state.items() if f"{name}.".startswith(f"{group}.")}
        changed.load_state_dict(inside, strict=False)
        yield "all weights" if place == len(groups) - 1 else f"{group} and above" if place else group, changed


def _draw_weights(model: nn.Module, *, seed: int) -> None:
    with torch.random.fork_rng(), torch.no_grad():
        # Far from the seeds that people give networks: with the same one these would be a model's own first weights,
        # near which training has left it.
        torch.manual_seed(FAR_SEED + seed)
        for module in model.modules():
            if reset := getattr(module, "reset_parameters", None):
                reset()
                continue
            for value in module.parameters(recurse=False):
                spread = float(value.std()) if value.numel() > 1 else 1.0
                value.normal_(float(value.mean()), spread)


def _alike(own: Attribution, other: Attribution) -> Iterator[tuple[str, dict[str, float]]]:
    """For each input the mean similarity over clips."""
    summed: dict[str, tuple[int, ...]] = {"frames": (1, 4), "flow": (3,)}
    for name, axes in summed.items():
        pair = [getattr(own, name), getattr(other, name)]
        if pair[0] is None:
            continue
        if name == "frames":  # against the onset all others are measured: its slope takes back theirs
            pair = [values[:, 1:] for values in pair]
            axes = axes if METHODS[own.method].places else (2, 3, 4)
        signed = [values.sum(axis=axes, dtype=np.float64) for values in pair]
        absolute = [np.abs(values).sum(axis=axes, dtype=np.float64) for values in pair]
        yield (
            name,
            {
                "spearman": _mean([_spearman(a, b) for a, b in zip(*signed, strict=True)]),
                "spearman_absolute": _mean([_spearman(a, b) for a, b in zip(*absolute, strict=True)]),
                "ssim": _mean([_ssim(a, b) for a, b in zip(*absolute, strict=True)]),
            },
        )


def _mean(values: list[float]) -> float:
    """The mean of what is known; NaN where nothing is, as of maps that are 0 everywhere."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two pictures, each in shares of its largest value; NaN of courses and empty pictures."""
    from skimage.metrics import structural_similarity

    if a.ndim < 2 or not (a.any() and b.any()):
        return np.nan
    window = min(7, (min(a.shape) - 1) // 2 * 2 + 1)
    return float(structural_similarity(_of_largest(a), _of_largest(b), win_size=window, data_range=1.0))


def _of_largest(picture: np.ndarray) -> np.ndarray:
    largest = picture.max()
    return picture / largest if largest > 0 else picture


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two pictures; NaN where one has no ranks because it is the same everywhere."""
    from scipy.stats import rankdata

    ranks = [rankdata(picture.ravel()) for picture in (a, b)]
    centred = [rank - rank.mean() for rank in ranks]
    size = np.sqrt(np.square(centred[0]).sum() * np.square(centred[1]).sum())
    return float(centred[0] @ centred[1] / size) if size > 0 else np.nan
