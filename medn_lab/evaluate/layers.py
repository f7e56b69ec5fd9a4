"""What any layer of a network holds of each clip, averaged over its places: for maps and probes of the inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from medn_lab.evaluate.prediction import extract_features
from medn_lab.model import MEDN
from medn_lab.records import Clips


def layer_features(
    model: MEDN, clips: Clips, *, layers: Sequence[str], batch_size: int = 64, progress: bool = False
) -> dict[str, pd.DataFrame]:
    """The activations of any layers, one row a clip, averaged over space, time and tokens.

    Parameters
    ----------
    model : MEDN
        Used in evaluation mode and left in the mode it was in; no hook stays behind.
    clips : Clips
    layers : sequence of str
        Modules by their name in ``model.named_modules()``, such as ``motion_branch.stem`` or ``emotion_branch.norm``.
    batch_size : int
        Clips a forward pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict of DataFrame
        By layer, (n, d), index the clip ids. A layer of 2-d convolutions or pooling keeps its channels, any other its
        last axis; one that runs several times a pass (once a scale) is averaged over its runs.

    Raises
    ------
    ValueError
        If there is no such layer, it does not run for these clips, or gives something other than one tensor.

    See Also
    --------
    extract_features : the branches' own features.
    medn_lab.diagnose.umap

    Examples
    --------
    >>> from medn_lab import synthetic_clips
    >>> from medn_lab.model import MEDNConfig
    >>> clips = synthetic_clips(n_subjects=2, clips_per_subject=2, seed=0)
    >>> found = layer_features(MEDN(MEDNConfig()), clips, layers=["motion_branch.stem"])
    >>> found["motion_branch.stem"].index.tolist() == clips.table["clip_id"].tolist()
    True
    """
    modules = dict(model.named_modules())
    unknown = [name for name in layers if name not in modules or not name]
    if unknown:
        alike = [name for name in modules if name and name.split(".")[0] == unknown[0].split(".")[0]]
        raise ValueError(f"no layer {unknown[0]!r}; there are {', '.join(alike or [n for n in modules if n][:8])} ...")
    gathered = {name: _Gathered(name, modules[name]) for name in layers}
    hooks = [modules[name].register_forward_hook(mine.take) for name, mine in gathered.items()]
    hooks.append(model.register_forward_pre_hook(_begin(gathered), with_kwargs=True))
    hooks.append(model.register_forward_hook(_end(gathered)))
    try:
        extract_features(model, clips, batch_size=batch_size, progress=progress)
    finally:
        for hook in hooks:
            hook.remove()
    ids = pd.Index(clips.table["clip_id"].to_numpy(dtype=object), name="clip_id")
    return {
        name: pd.DataFrame(torch.cat(mine.rows).float().cpu().numpy(), index=ids) for name, mine in gathered.items()
    }


class _Gathered:
    """One layer's activations, averaged as they come: a whole set of tokens would not find room."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.channels_first = any(type(part).__name__.endswith("2d") for part in module.modules())
        self.n_clips = 0
        self.runs: list[Tensor] = []
        self.rows: list[Tensor] = []

    def take(self, _: nn.Module, __: object, out: object) -> None:
        """Average one run over its places."""
        if not isinstance(out, Tensor):
            raise ValueError(
                f"layer {self.name!r} gives a {type(out).__name__} and not one tensor; name a module inside it"
            )
        if out.ndim < 2 or len(out) % self.n_clips:
            raise ValueError(
                f"layer {self.name!r} gives {tuple(out.shape)} for {self.n_clips} clips, which has no row a clip"
            )
        if self.channels_first and out.ndim == 4:
            out = out.movedim(1, -1)
        # Frames or positions may have been laid beside the clips: (b t) ... c.
        self.runs.append(out.detach().reshape(self.n_clips, -1, out.shape[-1]).mean(dim=1))

    def end(self) -> None:
        """Average the runs of one pass."""
        if not self.runs:
            raise ValueError(
                f"layer {self.name!r} does not run for these clips; name one of the modules inside it, or another"
            )
        self.rows.append(torch.stack(self.runs).mean(dim=0))
        self.runs = []


def _begin(gathered: dict[str, _Gathered]) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: tuple, named: dict[str, object]) -> None:
        given = next(value for value in (*inputs, *named.values()) if isinstance(value, Tensor))
        for mine in gathered.values():
            mine.n_clips = len(given)

    return hook


def _end(gathered: dict[str, _Gathered]) -> Callable[..., None]:
    def hook(_: nn.Module, __: object, ___: object) -> None:
        for mine in gathered.values():
            mine.end()

    return hook
