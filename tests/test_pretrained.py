"""The shipped models do what their cards state and answer as before, and what 0.1.0 wrote still loads.

`written_by_0_1_0` was written by version 0.1.0: six clips of SynthME (seed 3), one epoch of a network of width 8, and a
prepared set of four clips in the layout of CASME II; `test_records.py` reads its `records.zip`, a record of each kind.
`shipped_logits.npz` was written when the `_v2` models were made.
"""

import hashlib
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import assert_refuses, mostly_slow

import medn_lab as medn
from medn_lab.model.medn import pretrained_folder

# "make quick" checks that a card names the weights and that the weights answer as before;
# their figures on many clips are drawn by "make test".
NAMES = medn.model.pretrained_names()


@pytest.fixture(scope="module")
def maker():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pretrained_folder())
        return importlib.import_module("make_pretrained")


@pytest.fixture(scope="module")
def held_out(maker):
    return medn.synthetic_clips(**maker.HELD_OUT)


def card_of(name):
    folder = pretrained_folder() / name
    return folder, json.loads((folder / "figures.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_card_states_the_figures_that_the_weights_reach_and_how_far_the_branches_are_apart(name, maker, held_out):
    folder, stated = card_of(name)
    model, written = medn.load_pretrained(name), (folder / "README.md").read_text()
    predictions = medn.predict(model, held_out)
    found = maker.figures_of(predictions)
    assert (found["n_clips"], found["ceilings"]) == (stated["n_clips"], stated["ceilings"])
    for measure in ("accuracy", "uf1", "uar", "pair_auc"):
        # Another processor's rounding may tip a clip or two over.
        assert found[measure]["value"] == pytest.approx(stated[measure]["value"], abs=0.01), measure
    for au, entry in stated["au_auc"].items():
        assert found["au_auc"][au]["auc"] == pytest.approx(entry["auc"], abs=0.01), au
    assert f"| accuracy | {stated['accuracy']['value']:.3f} |" in written
    if "small" in name:
        return
    features = maker.read_features(model, held_out)
    allowed = medn.synthme.allowed_auc()
    leaks = medn.diagnose.leakage(features, targets=("aus", "cue"), allowed=allowed, n_shuffles=0, n_resamples=0)
    for row in leaks[leaks["target"].isin(["AUs", "cue"]) & (leaks["branch"] != "fused")].itertuples():
        wanted = stated["decoupling"][f"{row.target} from the {row.branch} branch"]
        assert (row.value, row.excess) == pytest.approx((wanted["auc"], wanted["excess"]), abs=0.01)
    for measure in ("linear_cka", "distance_correlation"):
        found = getattr(medn.diagnose, measure)(features.motion, features.emotion)
        assert found == pytest.approx(stated["decoupling"][measure.replace("_", " ")]["value"], abs=0.01)
    readme = (folder.parents[1] / "README.md").read_text(encoding="utf-8")
    assert features.nats is None or f"emotion (240, {features.emotion.shape[1]})" in readme
    assert (None if features.nats is None else features.nats.mean()) == pytest.approx(stated["nats"], abs=0.05)
    kinds = maker.kinds_of(predictions, features, held_out.truth.table["cue_kind"].to_numpy())
    assert kinds.keys() == stated["kinds"].keys() == set(medn.synthme.CUES)
    for kind, row in kinds.items():
        assert row["accuracy"] == pytest.approx(stated["kinds"][kind]["accuracy"], abs=0.03)
        assert row["cue_auc"] == pytest.approx(stated["kinds"][kind]["cue_auc"], abs=0.02)


@pytest.mark.slow
def test_no_reader_finds_an_au_in_the_shipped_code(maker):
    """Persons that neither the training nor the card has seen."""
    clips = medn.synthetic_clips(**{**maker.READ, "n_subjects": 24, "seed": 7})
    found = maker.readers_of(maker.read_features(medn.load_pretrained(), clips))
    assert len(found) == 5
    for kind, row in found.items():
        assert row["excess"] < 0.03, kind
        # The largest of 16 AUs lies some .05 above its own mean by chance; AU23 and AU24 move the chin, where the
        # brightness cue is, and three readers find a little of them.
        assert row["worst_excess"] < 0.16, kind


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_weights_command_and_other_persons_and_the_model_beats_what_aus_alone_can_tell(name):
    folder, stated = card_of(name)
    text = (folder / "README.md").read_text()
    assert stated["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert all(fact in text for fact in (stated["sha256"], f"python pretrained/make_pretrained.py {name}"))
    alone = stated["ceilings"]["au_only"]
    assert stated["accuracy"]["value"] >= 0.9 * stated["ceilings"]["joint"]
    assert stated["accuracy"]["low"] > alone
    assert stated["motion_alone"]["value"] < alone + 1.96 * (alone * (1 - alone) / stated["n_clips"]) ** 0.5
    seeds = [stated[corpus]["seed"] for corpus in ("training_corpus", "held_out_corpus")]
    assert seeds[0] != seeds[1]  # other seeds draw other persons


def test_the_models_are_there_and_the_bottleneck_leaks_less_than_the_others(maker):
    assert set(NAMES) == set(maker.RECIPES)
    cards = [card_of(f"medn_tiny{kind}.synthme_v2")[1] for kind in ("", "_coupled", "_orthogonal")]
    leaks = [card["decoupling"]["AUs from the emotion branch"]["excess"] for card in cards]
    assert leaks[0] < min(leaks[1:])


HERE = Path(__file__).parent
WRITTEN = HERE / "written_by_0_1_0"


def test_a_prepared_set_of_0_1_0_gives_a_network_its_inputs_and_its_numbers_are_read_as_they_were_written():
    clips = medn.records.Clips.load(WRITTEN / "prepared")
    assert (clips.frames.shape, clips.flow.shape, clips.viewing) == ((4, 8, 32, 32, 3), (4, 32, 32, 2), None)
    assert clips.table["emotion"].tolist().count("others") == 2
    config = medn.model.MEDNConfig.for_clips(clips, label="emotion", dim=8, depth=1)
    assert medn.predict(medn.model.MEDN(config), clips).logits.shape == (4, 3)
    report = medn.records.DecouplingReport.load(WRITTEN / "report").table
    cka = report[report["measure"] == "linear_cka"].iloc[0]
    assert (cka["value"], cka["p"]) == pytest.approx((0.018, 0.4), abs=0.01)
    assert medn.records.Predictions.load(WRITTEN / "predictions").predicted.shape == (6,)


def test_weights_of_0_1_0_are_refused_by_name_for_they_are_of_another_network(tmp_path):
    shutil.copytree(WRITTEN / "weights", tmp_path / "weights")
    for load in (medn.load_pretrained, medn.model.MEDN.from_pretrained):
        assert_refuses(load, tmp_path / "weights", match=r"0\.1\.0.*train it again")


@pytest.mark.parametrize("name", mostly_slow(medn.model.pretrained_names(), quick=2))
def test_a_shipped_model_gives_the_same_logits(name):
    before = np.load(HERE / "shipped_logits.npz")
    drawn = medn.synthetic_clips(n_subjects=1, clips_per_subject=4, seed=11, n_jobs=1)
    predicted = medn.predict(medn.load_pretrained(name), drawn)
    # The median, because processors differ in the last digits: a clip may there keep another token at the border.
    assert np.median(np.abs(predicted.logits - before[name])) < 1e-4
    assert np.median(np.abs(predicted.au_logits - before[f"{name} AUs"])) < 1e-4
