"""A sample that stands for all clips: its size, its shares, and a map that says what it was drawn from."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medn_lab.diagnose import sample_clips, umap
from medn_lab.records import BranchFeatures
from medn_lab.view.map_words import params_line


def clips_of(counts) -> pd.DataFrame:
    subjects = np.repeat([f"s{k}" for k in range(len(counts))], counts)
    return pd.DataFrame({"clip_id": [f"c{k}" for k in range(len(subjects))], "subject": subjects})


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 120), st.integers(0, 5))
def test_as_many_as_asked_in_order_each_once_and_every_subject_near_its_share(counts, most, seed):
    table = clips_of(counts)
    drawn = sample_clips(table, most=most, seed=seed)
    assert len(drawn) == min(most, len(table))
    places = pd.Index(table["clip_id"]).get_indexer(drawn)
    assert (np.diff(places) > 0).all()
    held = table["subject"].iloc[places].value_counts().reindex(table["subject"].unique(), fill_value=0).to_numpy()
    if most >= len(counts):
        assert (held >= 1).all()
        share = np.array(counts) * min(most, len(table)) / len(table)
        assert (held <= np.maximum(np.ceil(share), 1)).all()


def test_the_seed_decides_and_another_draws_others():
    table = clips_of([50, 50])
    assert sample_clips(table, most=20) == sample_clips(table, most=20)
    assert sample_clips(table, most=20) != sample_clips(table, most=20, seed=1)
    assert len(sample_clips(table.drop(columns="subject"), most=7)) == 7
    with pytest.raises(ValueError, match="most is 0; at least one clip must be drawn"):
        sample_clips(table, most=0)


def test_a_map_of_a_sample_says_so_and_its_points_are_those_of_its_clips():
    table = clips_of([30, 20, 10])
    rng = np.random.default_rng(0)
    features = BranchFeatures(*rng.normal(size=(3, 60, 8)), table)
    drawn = umap(features, method="pca", most_clips=24)
    assert drawn.table["clip_id"].tolist() == sample_clips(table, most=24)
    assert drawn.table["subject"].value_counts().to_dict() == {"s0": 12, "s1": 8, "s2": 4}
    assert "24 clips drawn from 60" in params_line(drawn)
    alone = umap(features.select(drawn.table["clip_id"]), method="pca")
    np.testing.assert_allclose(drawn.motion_xy, alone.motion_xy)
    whole = umap(features, method="pca")
    assert "drawn_from" not in whole.params
    assert len(whole) == 60
