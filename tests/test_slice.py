"""The main job on input from the disk: SynthME in CASME II's layout is read, prepared, trained on, and explored."""

import hashlib

import numpy as np
import pytest

import medn_lab as medn
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.train import TrainConfig
from medn_lab.widgets import BranchExplorer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("casme2")
    drawn = medn.synthetic_clips(n_subjects=6, clips_per_subject=12, noise=0.5)
    medn.synthme.write_dataset(drawn, root / "set", layout="casme2", fps=50.0)
    before = fingerprint(root / "set")
    index = medn.data.read_casme2(root / "set")
    clips = medn.data.prepare(index, root / "prepared", progress=False)
    assert fingerprint(root / "set") == before
    kept, dropped = medn.data.to_classes(clips.table, "casme2_5class")
    assert len(dropped) == 0
    return clips.with_table(kept)


def fingerprint(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_model_trains_evaluates_and_is_explored_on_clips_from_the_disk(clips):
    train_ids, test_ids = medn.data.hold_out_subjects(clips.table, n=2, seed=0)
    train, test = clips.select(train_ids), clips.select(test_ids)
    assert not set(train.table["subject"]) & set(test.table["subject"])
    model = MEDN(MEDNConfig.for_clips(train, dim=32))
    history = medn.fit(model, train, training=TrainConfig(epochs=20, batch_size=8), progress=False)
    assert history.table["loss"].iloc[-1] < 0.9 * history.table["loss"].iloc[0]
    predictions = medn.predict(model, test)
    # The AUs of unseen persons are read from flow that was computed from files.
    coded = test.table[list(predictions.aus)].to_numpy()
    shown = coded == 1
    assert predictions.au_logits[shown].mean() > predictions.au_logits[~shown].mean() + 1
    explorer = BranchExplorer(
        medn.diagnose.umap(medn.extract_features(model, test), method="pca"), clips=test, predictions=predictions
    )
    explorer.select(test_ids[:3])
    assert list(explorer.selection["clip_id"]) == list(test_ids[:3])
    assert np.isfinite(predictions.logits).all()
