"""Records in which every name that comes from data is markup, and the eight widgets that show them."""

from dataclasses import replace
from types import SimpleNamespace

import ipywidgets
from sample_records import CLASSES, sample_clips, sample_embedding, sample_features, sample_history, sample_predictions

from medn_lab import diagnose, widgets
from medn_lab.evaluate import evaluation_summary, live_predictor
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, Clips, Predictions
from medn_lab.synthme import face_studio, synthetic_clips

EVIL = """' onwheel=1 " onwheel=1 ><img src=x onerror="window.planted=1">"""
"""What a browser that takes a name for markup would run, be it inside an attribute or out of it."""


_NAMES = ("clip_id", "dataset", "subject", "emotion", "label")


def hostile_records() -> tuple[Clips, Predictions, BranchFeatures]:
    """Sample clips whose every name is markup, predictions and features of them."""
    clips = sample_clips(n=40, size=32)
    features, predictions = sample_features(clips), sample_predictions(clips)
    own = {"table": _renamed(clips), "source": {"name": EVIL}}
    predictions = replace(predictions, classes=tuple(EVIL + name for name in CLASSES), protocol=EVIL, **own)
    return replace(clips, table=own["table"]), predictions, replace(features, **own)


def hostile_widgets() -> dict[str, ipywidgets.Widget]:
    """Each widget with names that are markup, by its CSS class; two of a model whose classes are markup."""
    clips, predictions, features = hostile_records()
    shown = {"clips": clips, "predictions": predictions, "measure": diagnose.selection_measures(features)}
    explorer = widgets.BranchExplorer(sample_embedding(features), features=features, **shown)
    explorer.select(clips.table["clip_id"][:5])
    report = diagnose.decoupling_report({EVIL: features, "plain": features}, n_permutations=9, n_shuffles=2)
    ranked = diagnose.rank_pairs(clips.table, features=features)
    drawn = synthetic_clips(n_subjects=2, clips_per_subject=4, seed=2, n_jobs=1)
    drawn = replace(drawn, table=_renamed(drawn), truth=None)
    model = MEDN(MEDNConfig(dim=16, depth=1, classes=tuple(sorted(set(drawn.table["label"])))), seed=1).eval()
    attribute = diagnose.Attributor(model, drawn, params={"integrated_gradients": {"n_steps": 2}}, n_checked=2)
    history, monitor = sample_history(epochs=2), widgets.TrainingMonitor(epochs=2)
    table = history.table.assign(**{f"leak_{EVIL}": 0.5, EVIL: 0.25})  # curves of a callback of the user's
    monitor.on_fit_start(SimpleNamespace(history=replace(history, table=table)))
    return {
        "medn-branch-explorer": explorer,
        "medn-clip-player": widgets.ClipPlayer(clips, clip_id=clips.table["clip_id"].iloc[1]),
        "medn-evaluation-panel": widgets.EvaluationPanel(evaluation_summary(predictions), clips=clips),
        "medn-decoupling-panel": widgets.DecouplingPanel(report),
        "medn-pair-browser": widgets.PairBrowser(ranked, clips=clips, predictions=predictions),
        "medn-attribution-viewer": widgets.AttributionViewer(drawn, attribute=attribute),
        "medn-face-lab": widgets.FaceLab(face_studio(identity_seed=3), answer=live_predictor(model)),
        "medn-training-monitor": monitor,
    }


def _renamed(clips: Clips):
    table = clips.table.assign(label=clips.table.get("label", clips.table["emotion"]))
    return table.assign(**{name: EVIL + table[name].astype(str) for name in _NAMES if name in table})
