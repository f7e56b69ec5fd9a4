"""MEDN: motion and emotion read in two branches, kept apart, and fused (arXiv 2604.17899, as we read its abstract).

Trained weights are read by name or folder: safetensors, a configuration and a card, all from the disk.
"""

# No postponed annotations here: huggingface_hub's mixin looks at the type of `config`.

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

import medn_lab
from medn_lab.model.branches import MotionBranch, SEVit, SEVitOutput, normal_parameter
from medn_lab.model.config import Fusion, MEDNConfig
from medn_lab.model.decoupling import GaussianCode
from medn_lab.records import History, sha256_of_file

CONFIG, CARD, WEIGHTS = "config.json", "figures.json", "model.safetensors"
HISTORY = "history"  # the folder of its training's history
OLD_SEVIT = "emotion_branch.time"  # a tensor that only the emotion branch of 0.1.0 has
TAGS = ["micro-expression", "facial-action-units"]
NO_PICKLE = "Pickled weights (.pt, .pth, .bin, .ckpt) can run code and are not read; convert them to safetensors first"


class CrossAttention(nn.Module):
    """One query a clip over another branch's tokens and a learned token for nothing found."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(dim)
        self.nothing = normal_parameter(1, 1, dim, std=0.02)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, feature: Tensor, tokens: Tensor) -> Tensor:
        """Answer (b, d) with what it finds among (b, n, d) tokens, (b, d)."""
        tokens = torch.cat([self.nothing.expand(len(tokens), -1, -1), tokens], dim=1)
        q = rearrange(self.query(self.query_norm(feature)), "b (h c) -> b h 1 c", h=self.heads)
        k, v = rearrange(self.key_value(self.token_norm(tokens)), "b n (two h c) -> two b h n c", two=2, h=self.heads)
        return self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h 1 c -> b (h c)"))


class CoFM(nn.Module):
    """Fuse motion and emotion by cross-attention and a gate for every feature.

    *Stated in the abstract:* CoFM fuses the disentangled features adaptively. *Our reading:* each branch's feature
    attends to the other branch's tokens, and a gate decides feature by feature how much each side contributes; the gate
    is returned so that it can be looked at.

    Parameters
    ----------
    dim : int
        Width of both features and of the fused one.
    heads : int
        Attention heads.
    how : {"cofm", "concat", "sum"}
        The last two are ablations, without tokens and gate: both features through one linear layer, or added.

    Examples
    --------
    >>> fusion = CoFM(32, heads=4)
    >>> motion, emotion = torch.rand(3, 32), torch.rand(3, 32)
    >>> fused, gate = fusion(motion, torch.rand(3, 16, 32), emotion, torch.rand(3, 2, 32))
    >>> fused.shape, bool(((gate > 0) & (gate < 1)).all())
    (torch.Size([3, 32]), True)
    """

    def __init__(self, dim: int, *, heads: int, how: Fusion = "cofm") -> None:
        super().__init__()
        self.how = how
        if how == "cofm":
            self.motion_asks = CrossAttention(dim, heads)
            self.emotion_asks = CrossAttention(dim, heads)
            self.gate = nn.Linear(2 * dim, dim)
        elif how == "concat":
            self.mix = nn.Linear(2 * dim, dim)

    def forward(
        self, motion: Tensor, motion_tokens: Tensor, emotion: Tensor, emotion_tokens: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Fuse (b, d) and (b, d); returns the fused feature and the gate, both (b, d), gate 1 = all motion."""
        if self.how != "cofm":
            return motion + emotion if self.how == "sum" else self.mix(torch.cat([motion, emotion], dim=-1)), None
        motion = motion + self.motion_asks(motion, emotion_tokens)
        emotion = emotion + self.emotion_asks(emotion, motion_tokens)
        gate = self.gate(torch.cat([motion, emotion], dim=-1)).sigmoid()
        return gate * motion + (1 - gate) * emotion, gate


class MEDNOutput(NamedTuple):
    """What a MEDN returns; a part that the model or the input lacks is None.

    Attributes
    ----------
    logits : (b, n_classes) tensor
        Emotion scores before softmax.
    au_logits : (b, n_aus) tensor or None
        AU scores before the sigmoid, from the motion branch alone.
    motion, emotion : (b, d) tensor or None
        Features of the branches; the emotion feature is (b, code_dim) under the bottleneck.
    fused : (b, d) tensor
    gate : (b, d) tensor or None
        In (0, 1); 1 takes the motion side, 0 the emotion side.
    nats : (b,) tensor or None
        Information in the emotion code, bottleneck only.
    guess : (b, d) tensor or None
        The adversary's guess of the standardised motion feature, adversarial only.
    sevit_output : SEVitOutput or None

    Examples
    --------
    >>> out = MEDN(MEDNConfig(size=32, dim=32, branches="motion")).eval()(None, torch.rand(2, 2, 32, 32))
    >>> out.logits.shape, out.emotion is None
    (torch.Size([2, 5]), True)
    """

    logits: Tensor
    au_logits: Tensor | None
    motion: Tensor | None
    emotion: Tensor | None
    fused: Tensor
    gate: Tensor | None
    nats: Tensor | None = None
    guess: Tensor | None = None
    sevit_output: SEVitOutput | None = None


class MEDN(nn.Module, PyTorchModelHubMixin, library_name="medn_lab", license="mit", tags=TAGS):
    """Motion-Emotion Feature Decoupling Network.

    Parameters
    ----------
    config : MEDNConfig
        By default the five CASME II classes at 64 px.
    seed : int
        Of the initial weights; the global generator is left as it was.

    Attributes
    ----------
    name : str
        By which results call it; the folder's, where it was loaded.
    history : History or None
        Of the training that made its weights, as far as it is known; ``save_pretrained`` keeps it.

    See Also
    --------
    medn_lab.train.fit : trains it.
    medn_lab.model.load_pretrained : one that is trained.

    References
    ----------
    Hu, Xie, Miao, Liu, Wang, Yang: "MEDN: Motion-Emotion Feature Decoupling Network for Micro-Expression Recognition",
    arXiv 2604.17899. Only the abstract is known to us; the README says what is our reading.

    Examples
    --------
    >>> model = MEDN(MEDNConfig(size=32, dim=32)).eval()
    >>> out = model(torch.rand(2, 8, 3, 32, 32), torch.rand(2, 2, 32, 32))
    >>> out.logits.shape, out.au_logits.shape, out.gate.shape
    (torch.Size([2, 5]), torch.Size([2, 16]), torch.Size([2, 32]))
    """

    def __init__(self, config: MEDNConfig = MEDNConfig(), *, seed: int = 0) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.config = config
        self.seed = seed
        self.history: History | None = None  # of the training that made its weights
        self.name = f"MEDN, untrained (seed {seed})"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            both = config.branches == "both"
            self.motion_branch = MotionBranch(config) if config.branches != "emotion" else None
            self.emotion_branch = SEVit(config) if config.branches != "motion" else None
            dim, drop, named = config.dim, config.dropout, config.decoupling if both else "none"
            self.code = GaussianCode(dim, code_dim=config.code_dim) if named == "bottleneck" else None
            self.adversary = None
            if named == "adversarial":
                layers = nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
                self.adversary = nn.Sequential(*layers)
            self.fusion = CoFM(dim, heads=config.heads, how=config.fusion) if both else None
            self.head = nn.Sequential(
                nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Dropout(drop), nn.Linear(dim, len(config.classes))
            )

    def forward(self, frames: Tensor | None = None, flow: Tensor | None = None) -> MEDNOutput:
        """Read clips.

        Parameters
        ----------
        frames : (b, t, 3, h, w) float tensor in [0, 1], or None
            RGB, registered to the onset.
        flow : (b, c, h, w) float tensor, or None
            Onset to apex displacement in pixels at the crop's size.

        Returns
        -------
        MEDNOutput

        Raises
        ------
        ValueError
            If a shape is not that of the configuration, or no input that the model can use is given.
        """
        c, square = self.config, (self.config.size, self.config.size)
        shapes = {"frames": (frames, (c.n_frames, 3, *square)), "flow": (flow, (c.flow_channels, *square))}
        for name, (given, shape) in shapes.items():
            if given is not None and given.shape[1:] != shape:
                reads = f"(b, {str(shape)[1:]}"
                raise ValueError(f"{name}: the shape is {tuple(given.shape)}, this model reads {reads}")
        if (frames is None or c.branches == "motion") and (flow is None or c.branches == "emotion"):
            raise ValueError(f"a MEDN with branches {c.branches!r} was given nothing that it reads")
        motion = motion_tokens = au_logits = emotion = feature = wide = tokens = nats = gate = guess = None
        if self.motion_branch is not None and flow is not None:
            motion, motion_tokens, au_logits = self.motion_branch(flow)
        if self.emotion_branch is not None and frames is not None:
            emotion = self.emotion_branch(frames)
            feature = wide = emotion.feature
            tokens = emotion.tokens
            if self.code is not None:
                feature, wide, nats = self.code(emotion.feature)
                tokens = wide.unsqueeze(1)  # fusion reads only what has passed the code
            if self.adversary is not None:  # given the emotion feature's value, and its gradient reversed
                guess = self.adversary(2 * wide.detach() - wide)
        if self.fusion is not None and motion is not None and emotion is not None:
            seen: Any = motion, motion_tokens
            if self.code is not None:  # under the bottleneck the motion branch learns from the AU task alone
                seen = [part.detach() for part in seen]
            fused, gate = self.fusion(*seen, wide, tokens)
        else:
            fused = wide if motion is None else motion
        return MEDNOutput(self.head(fused), au_logits, motion, feature, fused, gate, nats, guess, emotion)

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        write_sum(Path(save_directory) / WEIGHTS)
        if (history := self.history) is not None:
            if history.source.get("recipe", {}).get("corpus") != "SynthME":
                # Clips of a licensed data set: a history that is passed on must name no class, AU or person.
                history = replace(history, clips=history.clips[["part", "clip_id"]])
            history.save(Path(save_directory) / HISTORY)

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        read_weights(Path(model_file))
        return super()._load_as_safetensor(model, model_file, map_location, strict)

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise ValueError(f"{model_file} is a pickle. {NO_PICKLE}")


def write_sum(file: Path) -> None:
    """Write the sha256 of a file next to it, as ``sha256sum -c`` reads it."""
    file.with_suffix(".sha256").write_text(f"{sha256_of_file(file)}  {file.name}\n")


def read_weights(file: Path, *, stated: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file; ValueError unless it has the sha256 stated, here or next to it, and is of this network."""
    if stated is None and (beside := file.with_suffix(".sha256")).is_file():
        stated = beside.read_text(encoding="utf-8", errors="replace").split(" ")[0]
    if stated is not None and (found := sha256_of_file(file)) != stated:
        raise ValueError(f"{file} is not the file that was written: its sha256 is {found:.12}, stated {stated!s:.12}")
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    if OLD_SEVIT in tensors:
        raise ValueError(f"{file} holds the emotion branch of medn_lab 0.1.0, another network; train it again")
    return tensors


def pretrained_folder() -> Path:
    """The ``pretrained/`` folder of this checkout; it exists only there, as weights are not part of the wheel."""
    return Path(medn_lab.__file__).resolve().parent.parent / "pretrained"


def pretrained_names() -> list[str]:
    """The names that :func:`load_pretrained` knows here.

    Returns
    -------
    list of str
        Sorted; empty outside a checkout.

    Examples
    --------
    >>> "medn_tiny.synthme_v2" in pretrained_names()
    True
    """
    return sorted(path.parent.name for path in pretrained_folder().glob(f"*/{WEIGHTS}"))


def load_pretrained(name: str | os.PathLike[str] = "medn_tiny.synthme_v2") -> MEDN:
    """A trained MEDN in evaluation mode, from the checkout's ``pretrained/`` or from a folder of yours.

    Parameters
    ----------
    name : str or path-like
        One of :func:`pretrained_names`, or a folder that ``model.save_pretrained`` wrote.

    Returns
    -------
    MEDN
        Its ``name`` is the folder's. Nothing is downloaded.

    Raises
    ------
    FileNotFoundError
        If there is no such name or folder; the sentence lists those there are.
    ValueError
        If the folder holds no safetensors weights, they are not those that its card names by sha256, or they do not fit
        its configuration. Pickled weights are refused: reading them can run code.

    See Also
    --------
    medn_lab.model.pretrained_names

    Examples
    --------
    >>> model = load_pretrained("medn_tiny.synthme_v2")
    >>> model.name, model.config.decoupling
    ('medn_tiny.synthme_v2', 'bottleneck')
    """
    folder = next((place for place in (Path(name), pretrained_folder() / name) if place.is_dir()), None)
    if folder is None:
        if Path(name).is_file():
            raise ValueError(f"{name} is a file; give the folder with {WEIGHTS} and {CONFIG} in it. {NO_PICKLE}")
        known = ", ".join(pretrained_names()) or "none in this installation; give the path of a folder"
        raise FileNotFoundError(f"no pretrained model {str(name)!r}; there are: {known}")
    for needed in (WEIGHTS, CONFIG):
        if not (folder / needed).is_file():
            raise ValueError(f"{folder} has no {needed}. {NO_PICKLE}")
    try:
        config = MEDNConfig.from_json((folder / CONFIG).read_text(encoding="utf-8"))
        card = json.loads((folder / CARD).read_text(encoding="utf-8")) if (folder / CARD).is_file() else {}
        tensors = read_weights(folder / WEIGHTS, stated=card.get("sha256"))
        with torch.device("meta"):  # shapes alone, so that a false configuration cannot fill the memory
            named = MEDN(config).state_dict()
        held, wanted = ({(name, tuple(one.shape)) for name, one in part.items()} for part in (tensors, named))
        if held != wanted:
            raise ValueError(f"its weights are not those of its {CONFIG}, such as {min(held ^ wanted)}")
    except (TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{folder} holds no MEDN that can be loaded: {error}") from error
    model = MEDN(config)
    model.load_state_dict(tensors)
    model.name = folder.resolve().name
    model.history = History.load(folder / HISTORY) if (folder / HISTORY).is_dir() else None
    return model.eval()


def weights_sha256(model: nn.Module) -> str:
    """The sha256 of a model's weights and buffers, by name and value, the same on every machine.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> weights_sha256(MEDN(MEDNConfig(), seed=0)) == weights_sha256(MEDN(MEDNConfig(), seed=1))
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
