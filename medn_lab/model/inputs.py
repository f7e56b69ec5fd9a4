"""From records to tensors, with the one check of a model's inputs; devices and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from medn_lab.model.config import MEDNConfig
from medn_lab.records import Clips


class Inputs(NamedTuple):
    """What :class:`~medn_lab.model.MEDN` reads.

    Attributes
    ----------
    frames : (b, t, 3, h, w) float tensor in [0, 1], or None
    flow : (b, c, h, w) float tensor in pixels, or None

    Examples
    --------
    >>> config = MEDNConfig(size=32, n_frames=4)
    >>> inputs = Inputs(frames=torch.zeros(2, 4, 3, 32, 32), flow=torch.zeros(2, 2, 32, 32))
    >>> inputs.frames.shape, inputs.flow.shape
    (torch.Size([2, 4, 3, 32, 32]), torch.Size([2, 2, 32, 32]))
    """

    frames: Tensor | None
    flow: Tensor | None


def check_clips(config: MEDNConfig, clips: Clips) -> None:
    """Raise ValueError with the numbers unless `clips` hold what a model of this configuration reads.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips

    Raises
    ------
    ValueError
        If the clips are none, of another size or length, lack the input of the only branch, or hold NaN or infinity.

    Examples
    --------
    >>> import pandas as pd
    >>> clips = Clips(None, np.zeros((1, 28, 28, 2), np.float32), pd.DataFrame({"clip_id": ["a"], "subject": "01"}))
    >>> check_clips(MEDNConfig(size=64, branches="motion"), clips)
    Traceback (most recent call last):
        ...
    ValueError: the clips are 28x28 px but the model reads 64x64; prepare size=64
    """
    frames = clips.frames if config.branches != "motion" else None
    flow = clips.flow if config.branches != "emotion" else None
    if not len(clips):
        raise ValueError("the selection is empty: there are no clips")
    (height, width), size = clips.size, config.size
    if (height, width) != (size, size):
        raise ValueError(f"the clips are {width}x{height} px but the model reads {size}x{size}; prepare size={size}")
    if frames is None and flow is None:
        raise ValueError(f"the model has only {config.branches!r} as its branch, and these clips lack what it reads")
    if frames is not None and frames.shape[1] != config.n_frames:
        n = config.n_frames
        raise ValueError(f"the clips have {frames.shape[1]} frames, the model reads {n}; prepare n_frames={n}")
    if flow is not None and flow.shape[-1] != config.flow_channels:
        raise ValueError(f"the flow has {flow.shape[-1]} channels, the model reads {config.flow_channels}")
    broken = [] if flow is None else [row for row, field in enumerate(flow) if not np.isfinite(field).all()]
    if broken:
        name = clips.table["clip_id"].iloc[broken[0]]
        raise ValueError(f"the flow of {len(broken)} of {len(clips)} clips holds NaN or infinity, such as {name!r}")


def as_inputs(config: MEDNConfig, clips: Clips, *, rows: np.ndarray, device: str | torch.device = "cpu") -> Inputs:
    """The tensors of some rows, for a model of this configuration.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
        Checked with :func:`check_clips` before.
    rows : (b,) int array
        Rows of the clips' table.
    device : str or torch.device

    Returns
    -------
    Inputs
        ``frames (b, t, 3, h, w)`` in [0, 1] and ``flow (b, c, h, w)`` in pixels; None for what the model does not read
        or the clips do not hold.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "subject": "01"})
    >>> clips = Clips(np.zeros((2, 8, 32, 32, 3), np.uint8), np.zeros((2, 32, 32, 2), np.float32), table)
    >>> inputs = as_inputs(MEDNConfig(size=32), clips, rows=np.array([1]))
    >>> inputs.frames.shape, inputs.flow.shape
    (torch.Size([1, 8, 3, 32, 32]), torch.Size([1, 2, 32, 32]))
    """
    frames = flow = None
    if clips.frames is not None and config.branches != "motion":
        picked = torch.from_numpy(np.ascontiguousarray(clips.frames[rows])).to(device)
        # Laid out anew while a value is still one byte; what follows reads rows of pixels.
        frames = picked.permute(0, 1, 4, 2, 3).contiguous().float().div_(255)
    if clips.flow is not None and config.branches != "emotion":
        picked = torch.from_numpy(np.ascontiguousarray(clips.flow[rows], dtype=np.float32)).to(device)
        flow = picked.permute(0, 3, 1, 2).contiguous()
    return Inputs(frames, flow)


def device_name(device: torch.device) -> str:
    """What a device is called in a run record: ``cpu``, or the kind and what the maker calls it.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    str

    Examples
    --------
    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Set the number of torch's threads within the block; None leaves it alone.

    The order of sums, and with it the last digits of a result, depends on the number of threads.

    Examples
    --------
    >>> before = torch.get_num_threads()
    >>> with torch_threads(1):
    ...     within = torch.get_num_threads()
    >>> within, torch.get_num_threads() == before
    (1, True)
    """
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode within the block; each of its modules is then in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
