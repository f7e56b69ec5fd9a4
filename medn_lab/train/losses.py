"""The training objective: emotion, Action Units, and what keeps the branches apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from medn_lab.model import MEDNConfig, MEDNOutput
from medn_lab.model.decoupling import DECOUPLING_LOSSES, adversarial_loss, orthogonal_loss
from medn_lab.train.batches import Targets

__all__ = ["au_loss", "medn_loss", "orthogonal_loss"]


def medn_loss(
    output: MEDNOutput,
    targets: Targets,
    *,
    config: MEDNConfig,
    au_weight: float = 1.0,
    decoupling_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """The terms of MEDN's loss and their weighted sum.

    Parameters
    ----------
    output : MEDNOutput
        Of a forward pass with `b` clips.
    targets : Targets
        Of the same clips.
    config : MEDNConfig
        Says which decoupling term there is.
    au_weight, decoupling_weight : float
        Weights of the AU and the decoupling term; the emotion term has weight 1.
    label_smoothing : float
        In [0, 1), on the emotion term.

    Returns
    -------
    dict of str to scalar Tensor
        ``loss`` (the sum), ``emotion`` (class-weighted cross-entropy), and where they apply ``au`` (binary
        cross-entropy over the known AUs, positives weighted) and ``decoupling`` (unweighted; in nats under the
        bottleneck, the adversary's error under ``adversarial``).

    See Also
    --------
    orthogonal_loss

    Examples
    --------
    >>> from medn_lab.model import MEDN, MEDNConfig
    >>> from medn_lab.train import Targets
    >>> config = MEDNConfig(size=32, dim=16, classes=("x", "y"), aus=("AU12",))
    >>> output = MEDN(config)(torch.rand(2, 8, 3, 32, 32), torch.rand(2, 2, 32, 32))
    >>> targets = Targets(torch.tensor([0, 1]), torch.tensor([[1.0], [0.0]]), torch.ones(2), torch.ones(1))
    >>> list(medn_loss(output, targets, config=config))
    ['loss', 'emotion', 'au', 'decoupling']
    """
    terms = {
        "emotion": F.cross_entropy(
            output.logits, targets.labels, weight=targets.class_weight, label_smoothing=label_smoothing
        )
    }
    total = terms["emotion"]
    if output.au_logits is not None and config.aus:
        terms["au"] = au_loss(output.au_logits, targets.aus, positive_weight=targets.au_weight)
        total = total + au_weight * terms["au"]
    if output.nats is not None:
        terms["decoupling"] = output.nats.mean()
    elif output.guess is not None and output.motion is not None:
        terms["decoupling"] = adversarial_loss(output.motion, output.guess)
    elif config.decoupling in DECOUPLING_LOSSES and output.motion is not None and output.emotion is not None:
        terms["decoupling"] = DECOUPLING_LOSSES[config.decoupling](output.motion, output.emotion)
    if "decoupling" in terms:
        total = total + decoupling_weight * terms["decoupling"]
    return {"loss": total} | terms


def au_loss(au_logits: Tensor, aus: Tensor, *, positive_weight: Tensor) -> Tensor:
    """Binary cross-entropy of AU logits over the entries that are known.

    Parameters
    ----------
    au_logits : (b, n_aus) tensor
    aus : (b, n_aus) tensor
        1 present, 0 absent, NaN unknown; an unknown entry has neither loss nor gradient.
    positive_weight : (n_aus,) tensor
        Weight of a positive against a negative.

    Returns
    -------
    Tensor
        A scalar; 0 where nothing is known (SMIC has no AUs).

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 5.0]])
    >>> au_loss(logits, torch.tensor([[1.0, float("nan")]]), positive_weight=torch.ones(2)).item()
    0.693...
    """
    known = ~torch.isnan(aus)
    loss = F.binary_cross_entropy_with_logits(
        au_logits, torch.nan_to_num(aus), pos_weight=positive_weight, reduction="none"
    )
    return (loss * known).sum() / known.sum().clamp_min(1)
