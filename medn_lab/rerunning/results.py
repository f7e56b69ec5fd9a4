"""What a network says of clips, and what is made of that, once more: predictions, features, maps, attributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import pandas as pd

from medn_lab.diagnose import aligned_umap, decoupling_report, kept_tokens, umap
from medn_lab.diagnose.attribution import attribute
from medn_lab.diagnose.embedding import Branch
from medn_lab.evaluate import extract_features, predict
from medn_lab.model import MEDN
from medn_lab.records import (
    Attribution,
    BranchFeatures,
    Clips,
    DecouplingReport,
    Embedding,
    KeptTokens,
    Predictions,
    ids_sha256,
)
from medn_lab.rerunning.clips import ClipsAgain
from medn_lab.rerunning.models import GivenModel, as_many_threads, model_again


@dataclass(frozen=True, eq=False)
class Means:
    """What a result is made again with.

    Attributes
    ----------
    clips : ClipsAgain
    model : MEDN, folder, mapping of such, or None
        The user's own.
    progress : bool
    """

    clips: ClipsAgain
    model: GivenModel | Mapping[str, GivenModel] | None
    progress: bool

    def asked(self, source: Mapping[str, Any], table: pd.DataFrame) -> tuple[MEDN, Clips, dict[str, Any]]:
        """The model and the clips of a run, and how it went over them."""
        run = source["run"]
        clips = self.clips.of_run(table, source["recipe"], run)
        how = {"batch_size": run.get("batch_size", 64), "progress": self.progress}
        return model_again(source, self.model), clips, how


def predictions_again(stored: Predictions, means: Means) -> Predictions:
    """The same clips asked of the same model."""
    model, clips, how = means.asked(stored.source, stored.table)
    with as_many_threads(stored.source["run"]):
        return predict(model, clips, **how).select(stored.table["clip_id"])


def features_again(stored: BranchFeatures, means: Means) -> BranchFeatures:
    """The features of the same clips."""
    return _features(stored.source, stored.table, means).select(stored.table["clip_id"])


def attribution_again(stored: Attribution, means: Means) -> Attribution:
    """The maps alone: sanity figures are measured of them by calls of their own."""
    model, clips, how = means.asked(stored.source, stored.table)
    how |= {"target": stored.target, "method": stored.method, "params": stored.params}
    with as_many_threads(stored.source["run"]):
        return attribute(model, clips, **how).select(stored.table["clip_id"])


def kept_again(stored: KeptTokens, means: Means) -> KeptTokens:
    """The positions kept, and their cover of what was planted where that was measured."""
    model, clips, how = means.asked(stored.source, stored.table)
    if stored.region:
        if clips.truth is None:
            raise ValueError(
                f"the cover of the {stored.region} needs the truth, which these clips do not hold; give the drawn ones"
            )
        how |= {"truth": clips.truth, "region": stored.region}
    with as_many_threads(stored.source["run"]):
        return kept_tokens(model, clips, **how).select(stored.table["clip_id"])


def embedding_again(stored: Embedding, means: Means) -> tuple[Embedding, tuple[str, ...]]:
    """The maps of the branches; those of layers handed in by the caller are left out, and told."""
    run, params = stored.source["run"], stored.params
    how = {name: params[name] for name in ("method", "min_dist", "metric", "seed") if name in params}
    if params["method"] != "pca":
        how["n_neighbors"] = params.get("n_neighbors_asked", params["n_neighbors"])
    branches = [name for name in get_args(Branch) if getattr(stored, f"{name}_xy") is not None]
    if not branches:
        raise ValueError(
            f"the maps are of layers alone ({', '.join(stored.layers)}), whose activations are not in the record;"
            " call layer_features and umap again"
        )
    notes = tuple(
        f"the map of layer {name!r} was not made again: its activations are not in the record" for name in stored.layers
    )
    if run["call"] == "aligned_umap":
        sources: Mapping[str, Any] = run["checkpoints"]
        several = {name: _mapped(_features(one, stored.table, means), stored, run) for name, one in sources.items()}
        again = aligned_umap(several, branches=branches, **how)[run["checkpoint"]]
    else:
        whole = _features({**stored.source, "run": stored.source["features"]}, stored.table, means)
        if "drawn_from" in params:
            how["most_clips"] = params["n_clips"]
        again = umap(_mapped(whole, stored, run), branches=branches, **how)
    return again.select(stored.table["clip_id"]), notes


def report_again(stored: DecouplingReport, means: Means) -> DecouplingReport:
    """The whole table, measured anew on the same features."""
    run, told = stored.source["run"], stored.source["parameters"]
    if run.get("by_hand"):
        raise ValueError(
            f"the report was made with {' and '.join(run['by_hand'])} handed in by the caller, which are not in the"
            " record; call decoupling_report with them again"
        )
    features = {}
    for name, source in stored.source["models"].items():
        table = stored.clips[stored.clips["model"] == name].drop(columns="model").reset_index(drop=True)
        if not source.get("run"):
            raise ValueError(
                f"the features of {name} do not say how they were made, so the report cannot be made again"
            )
        found = _features(source, table, means).select(table["clip_id"])
        features[name] = BranchFeatures(
            found.motion, found.emotion, found.fused, table, found.gate, found.source, found.nats
        )
    return decoupling_report(
        features,
        given=run["given"],
        n_permutations=told["permutations"],
        targets=run["targets"],
        label=told["emotion column"],
        kind={"linear": "ridge"}.get(told["probe"], told["probe"]),  # as 0.1 named it
        scheme=told.get("scheme", "exchange"),
        n_shuffles=told["label shuffles"],
        protocol=stored.source.get("protocol", ""),
        about=stored.source.get("about"),
        seed=told["seed"],
        progress=means.progress,
    )


def _features(source: Mapping[str, Any], table: pd.DataFrame, means: Means) -> BranchFeatures:
    """All features of a run, of which a record may hold a part."""
    if not source.get("run"):
        raise ValueError("the features do not say how they were made, so what was made of them cannot be made again")
    model, clips, how = means.asked(source, table)
    with as_many_threads(source["run"]):
        return extract_features(model, clips, **how)


def _mapped(features: BranchFeatures, stored: Embedding, run: Mapping[str, Any]) -> BranchFeatures:
    """Those features that went into the map."""
    for chosen in (features, features.select(stored.table["clip_id"])):
        if len(chosen) == run["clips"]["n"] and ids_sha256(chosen.table) == run["clips"]["sha256"]:
            return chosen
    raise ValueError(
        f"this Embedding holds {len(stored)} of the {run['clips']['n']} clips that were mapped, and which the others"
        " were is not in it; rerun the whole one"
    )
