"""Flow packs: either list, blanks before the dot, SMIC's differing names, and every row accounted for."""

import numpy as np
import pytest
from written_sets import drawn_clips

from medn_lab.data import leave_one_subject_out, read_flow_pack
from medn_lab.data.readers.clip_list import clip_key, read_list
from medn_lab.evaluate import predict, uf1
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.synthme import synthetic_clips
from medn_lab.synthme.write_flow_pack import write_flow_pack
from medn_lab.train import TrainConfig, fit


@pytest.fixture
def pack(tmp_path):
    return tmp_path, write_flow_pack(drawn_clips(), tmp_path, listing="official")


def test_every_picture_is_found_by_the_official_list(pack):
    root, told = pack
    clips = read_flow_pack(root)
    assert clips.frames is None
    assert clips.flow.shape == (len(told), 28, 28, 3)
    assert clips.table["clip_id"].tolist() == told["written_as"].tolist()
    assert clips.table["label"].tolist() == told["label"].tolist()
    assert len(clips.problems) == 0
    assert read_flow_pack(root, size=32).flow.shape == (len(told), 32, 32, 3)


def test_motion_survives_up_to_its_scale(pack):
    root, told = pack
    clips, source = read_flow_pack(root), drawn_clips()
    for place in range(0, len(told), 5):
        flow = source.select([told["clip_id"][place]]).flow[0]
        small = flow.reshape(64, 64, 2)
        where = np.unravel_index(np.abs(small[..., 1]).argmax(), (64, 64))
        packed = clips.flow[place][where[0] * 28 // 64, where[1] * 28 // 64, 1]
        assert np.sign(packed) == np.sign(small[where][1])
    assert -1 <= clips.flow[..., :2].min() < 0 < clips.flow[..., :2].max() <= 1
    assert 0 <= clips.flow[..., 2].min() < clips.flow[..., 2].max() <= 1
    np.testing.assert_allclose(read_flow_pack(root, pixels=2.0).flow[..., 0], 2 * clips.flow[..., 0])


def test_both_lists_say_the_same(tmp_path):
    write_flow_pack(drawn_clips(), tmp_path, listing="both")
    with pytest.raises(ValueError, match=r"2 lists fit: .*; say which with gt="):
        read_flow_pack(tmp_path)
    official = read_flow_pack(tmp_path, gt=tmp_path / "combined_3class_gt.csv")
    named = read_flow_pack(tmp_path, gt=tmp_path / "all_442_list.csv")
    np.testing.assert_array_equal(official.flow, named.flow)
    assert official.table["clip_id"].tolist() == named.table["clip_id"].tolist()


def test_people_of_three_data_sets_stay_apart(pack):
    root, _ = pack
    folds = leave_one_subject_out(read_flow_pack(root).table)
    assert [fold.held_out for fold in folds] == ["casme2/01", "samm/001", "smic/1"]


def test_missing_and_surplus_pictures_are_told(pack):
    root, told = pack
    pictures = sorted(root.glob("*.png"))
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:40])
    (root / "sub99_EP01_01 .png").write_bytes(pictures[2].read_bytes())
    clips = read_flow_pack(root)
    assert len(clips) == len(told) - 2
    assert clips.problems["found"].str.contains("no picture|truncated|not in the list").all()
    assert (clips.problems["found"] == "no picture").sum() == 1


def test_names_agree_despite_zeros_and_doubled_subjects():
    assert clip_key("smic", "s01", "s01_s1_ne_01") == clip_key("smic", "s1", "s01_s01_ne_01 .png")
    assert clip_key("casme2", "sub01", "EP02_01f") == clip_key("casme2", "1", "sub01_EP02_01f")
    assert clip_key("samm", "006", "006_1_2") == clip_key("samm", "006", "006_006_1_2")
    assert clip_key("samm", "006", "006_1_2") != clip_key("samm", "006", "006_1_3")
    assert clip_key("samm", "006", "x") != clip_key("casme2", "06", "x")


def test_bad_packs_get_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*; give the folder in which the flow pack was unpacked"):
        read_flow_pack(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no list of clips below .*there is no .csv"):
        read_flow_pack(tmp_path)
    (tmp_path / "list.csv").write_text("casme2,sub01,EP02_01f,7\n")
    with pytest.raises(ValueError, match="has a class '7'; classes are 0, 1 and 2"):
        read_list(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("casme2,sub01,EP02_01f,1\n")
    with pytest.raises(ValueError, match="none of 1 listed clips has one of the 0 pictures"):
        read_flow_pack(tmp_path)
    (tmp_path / "list.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="is no list of a flow pack"):
        read_list(tmp_path / "list.csv")


@pytest.mark.slow
def test_motion_alone_learns_from_a_pack_and_is_tested_on_each_person_unseen(tmp_path):
    write_flow_pack(synthetic_clips(n_subjects=6, clips_per_subject=12, n_frames=2, seed=0, n_jobs=1), tmp_path)
    clips = read_flow_pack(tmp_path)
    said = {}
    for fold in leave_one_subject_out(clips.table):
        train, test = clips.select(fold.train), clips.select(fold.test)
        model = MEDN(MEDNConfig.for_clips(train), seed=0)
        assert (model.config.branches, model.config.flow_channels, model.config.size) == ("motion", 3, 28)
        fit(model, train, config=TrainConfig(epochs=12, batch_size=16), progress=False)
        said |= dict(zip(fold.test, predict(model, test).predicted, strict=True))
    assert sorted(said) == sorted(clips.table["clip_id"])
    true = clips.table["label"].to_numpy()
    predicted = clips.table["clip_id"].map(said).to_numpy()
    majority = max((true == name).mean() for name in set(true))
    assert (predicted == true).mean() > majority
    assert uf1(true, predicted) > 0.4  # a guess of the largest class has .2
