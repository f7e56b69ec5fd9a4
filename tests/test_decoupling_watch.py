"""decoupling_watch: the instruments' own figures each epoch, on a training that does not notice."""

from dataclasses import replace

import numpy as np
import pytest
from sample_records import sample_clips, sample_features
from tiny_clips import tiny_clips

from medn_lab.diagnose import decoupling_watch, leakage, linear_cka
from medn_lab.evaluate import extract_features
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=3, batch_size=16)


@pytest.fixture(scope="module")
def features():
    return sample_features(sample_clips(n=120, size=16))


@pytest.fixture(scope="module")
def watch():
    return decoupling_watch(sample_clips(n=120, size=16))


def test_the_figures_are_those_of_the_instruments(features, watch):
    found = watch.of(features)
    assert found["dependence_linear_cka"] == pytest.approx(linear_cka(features.motion, features.emotion))
    told = leakage(features, targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for name, row in (("aus_from_emotion", ("emotion", "AUs")), ("emotion_from_motion", ("motion", "emotion"))):
        assert found[f"leak_{name}"] == pytest.approx(told.loc[row, "value"])
        assert found[f"leak_{name}_allowed"] == pytest.approx(told.loc[row, "allowed"])
    assert "dependence_absolute_cosine" not in found  # the branches have other widths


def test_a_watched_training_gives_the_same_weights_and_has_the_figures_in_its_history():
    clips, held_out = tiny_clips(), tiny_clips(seed=1, n_subjects=6)
    alone, watched = (MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1)) for _ in range(2))
    fit(alone, clips, training=QUICK, progress=False)
    history = fit(watched, clips, training=QUICK, callbacks=[decoupling_watch(held_out, every=2)], progress=False)
    assert weights_sha256(alone) == weights_sha256(watched)
    seen = history.table["dependence_linear_cka"].notna()
    assert seen.tolist() == [False, True, False]
    last = decoupling_watch(held_out).of(extract_features(watched, held_out))
    assert set(last) <= set(history.table.columns)
    assert all(np.isfinite(value) for name, value in last.items() if name.startswith("dependence"))


def test_a_network_of_one_branch_is_watched_as_far_as_it_goes(features, watch):
    motion = watch.of(replace(features, emotion=None))
    assert set(motion) == {"leak_emotion_from_motion", "leak_emotion_from_motion_allowed"}
    bare = features.table.drop(columns=["AU1", "AU4", "AU12", "AU15"])
    assert "leak_aus_from_emotion" not in watch.of(replace(features, table=bare))


def test_too_few_clips_or_subjects_are_refused():
    with pytest.raises(ValueError, match="at least 20 clips of 2 subjects, there are 12 of 2"):
        decoupling_watch(tiny_clips(n_subjects=2))
    with pytest.raises(ValueError, match="there are 24 of 1"):
        decoupling_watch(tiny_clips(n_subjects=1, clips_per_subject=24))
    with pytest.raises(ValueError, match="every"):
        decoupling_watch(tiny_clips(), every=0)
