"""What earlier versions wrote still loads, and the shipped models still give the same logits.

`written_by_0_1_0` was written by version 0.1.0: six clips of SynthME (seed 3), one epoch of a network of width 8, and a
prepared set of four clips in the layout of CASME II; `test_records.py` reads its `records.zip`, a record of each kind.
`shipped_logits.npz` was written when the `_v2` models were made.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from refusals import assert_refuses
from slow_cases import mostly_slow

import medn_lab as medn
from medn_lab.records import Clips, DecouplingReport, Predictions

HERE = Path(__file__).parent
WRITTEN = HERE / "written_by_0_1_0"


def test_a_prepared_set_of_0_1_0_gives_a_network_its_inputs():
    clips = Clips.load(WRITTEN / "prepared")
    assert clips.frames.shape == (4, 8, 32, 32, 3)
    assert clips.flow.shape == (4, 32, 32, 2)
    assert clips.viewing is None
    assert clips.table["emotion"].tolist().count("others") == 2
    config = medn.model.MEDNConfig.for_clips(clips, label="emotion", dim=8, depth=1)
    assert medn.predict(medn.model.MEDN(config), clips).logits.shape == (4, 3)


def test_the_numbers_of_0_1_0_are_read_as_they_were_written():
    report = DecouplingReport.load(WRITTEN / "report").table
    cka = report[report["measure"] == "linear_cka"].iloc[0]
    assert (cka["value"], cka["p"]) == pytest.approx((0.018, 0.4), abs=0.01)
    assert Predictions.load(WRITTEN / "predictions").predicted.shape == (6,)


def test_weights_of_0_1_0_are_refused_by_name_for_they_are_of_another_network(tmp_path):
    shutil.copytree(WRITTEN / "weights", tmp_path / "weights")
    for load in (medn.load_pretrained, medn.model.MEDN.from_pretrained):
        assert_refuses(load, tmp_path / "weights", match=r"0\.1\.0.*train it again")


@pytest.fixture(scope="module")
def drawn():
    return medn.synthetic_clips(n_subjects=1, clips_per_subject=4, seed=11, n_jobs=1)


@pytest.mark.parametrize("name", mostly_slow(medn.model.pretrained_names(), quick=2))
def test_a_shipped_model_gives_the_same_logits(name, drawn):
    before = np.load(HERE / "shipped_logits.npz")
    predicted = medn.predict(medn.load_pretrained(name), drawn)
    # The median, because processors differ in the last digits: a clip may there keep another token at the border.
    assert np.median(np.abs(predicted.logits - before[name])) < 1e-4
    assert np.median(np.abs(predicted.au_logits - before[f"{name} AUs"])) < 1e-4
