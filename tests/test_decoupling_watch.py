"""decoupling_watch: dependence and leakage after each epoch, on a training that stays the same."""

from dataclasses import replace

import numpy as np
import pytest
from sample_records import sample_clips, sample_features
from tiny_clips import tiny_clips

from medn_lab.diagnose import decoupling_watch, leakage, linear_cka
from medn_lab.evaluate import extract_features
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.train import TrainConfig, fit


def test_the_figures_are_those_of_dependence_and_leakage_as_far_as_there_are_branches_and_aus():
    clips = sample_clips(n=80, size=16)
    features, watch = sample_features(clips), decoupling_watch(clips)
    found = watch.of(features)
    assert found["dependence_linear_cka"] == pytest.approx(linear_cka(features.motion, features.emotion))
    rows = leakage(features, targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for name, row in (("aus_from_emotion", ("emotion", "AUs")), ("emotion_from_motion", ("motion", "emotion"))):
        assert found[f"leak_{name}"] == pytest.approx(rows.loc[row, "value"])
        assert found[f"leak_{name}_allowed"] == pytest.approx(rows.loc[row, "allowed"])
    assert "dependence_absolute_cosine" not in found  # the branches have other widths
    motion = watch.of(replace(features, emotion=None))
    assert set(motion) == {"leak_emotion_from_motion", "leak_emotion_from_motion_allowed"}
    bare = features.table.drop(columns=["AU1", "AU4", "AU12", "AU15"])
    assert "leak_aus_from_emotion" not in watch.of(replace(features, table=bare))


def test_a_watched_training_gives_the_same_weights_and_has_the_figures_in_its_history():
    clips, held_out = tiny_clips(), tiny_clips(seed=1, n_subjects=6)
    alone, watched = (MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1)) for _ in range(2))
    how = {"training": TrainConfig(epochs=2, batch_size=16), "progress": False}
    fit(alone, clips, **how)
    history = fit(watched, clips, callbacks=[decoupling_watch(held_out)], **how)
    assert weights_sha256(alone) == weights_sha256(watched)
    last = decoupling_watch(held_out).of(extract_features(watched, held_out))
    assert history.table.iloc[-1][list(last)].to_list() == pytest.approx(list(last.values()), nan_ok=True)
    assert all(np.isfinite(value) for name, value in last.items() if name.startswith("dependence"))
    with pytest.raises(ValueError, match="at least 20 clips of 2 subjects, there are 12 of 2"):
        decoupling_watch(tiny_clips(n_subjects=2))
