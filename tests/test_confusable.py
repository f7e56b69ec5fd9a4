"""Confusable pairs as a diagnostic: counted by hand, placed by brute force, held against planted branches."""

import numpy as np
import pandas as pd
import pytest
from pair_tables import table_of
from scipy.spatial.distance import pdist, squareform

import medn_lab as medn
from medn_lab.diagnose import confusable_pairs, confusable_sets, pair_separation, rank_pairs
from medn_lab.diagnose.pair_distance import NearerControls, pair_distance, place_among_all
from medn_lab.records import BranchFeatures, Predictions


def drawn(n_subjects=8, clips_per_subject=20, seed=0):
    table = medn.synthme.draw_table(n_subjects=n_subjects, clips_per_subject=clips_per_subject, seed=seed)
    return table.assign(label=table["emotion"])


def features_of(table, *, motion_knows=0.0, emotion_knows=3.0, seed=0):
    """Motion features that know the AU set, emotion features that know the emotion, each as far as told."""
    rng = np.random.default_rng(seed)
    aus = np.eye(table["action_units"].nunique())[pd.factorize(table["action_units"])[0]]
    emotions = np.eye(table["label"].nunique())[pd.factorize(table["label"])[0]]
    motion = np.hstack([4 * aus, motion_knows * emotions])
    motion, emotion = (given + rng.normal(size=given.shape) for given in (motion, emotion_knows * emotions))
    return BranchFeatures(
        motion.astype(np.float32), emotion.astype(np.float32), np.hstack([motion, emotion]).astype(np.float32), table
    )


SMALL = table_of(
    ("1", "12", "happiness"), ("1", "12", "repression"), ("2", "12", "happiness"), ("2", "L12", "surprise"),
    ("1", "4", "disgust"), ("2", "4", "disgust"), ("3", "?", "disgust"), ("3", "12", None), ("3", "1+2", "surprise"),
)  # fmt: skip


class TestSets:
    def test_they_are_counted_as_by_hand(self):
        found = confusable_sets(SMALL)
        assert len(found) == 1
        row = found.iloc[0]
        assert row[["action_units", "n_clips", "n_subjects", "n_emotions"]].tolist() == ["12", 4, 2, 3]
        # happiness-repression twice (opposite; one of them within subject 1), three with surprise (one within 2).
        assert row[["n_pairs", "n_opposite", "n_same_subject"]].tolist() == [5, 2, 2]
        assert row[["happiness", "repression", "surprise"]].tolist() == [2, 1, 1]
        assert "disgust" not in found.columns
        assert [found.attrs[name] for name in ("n_clips", "n_sets", "n_left_out")] == [7, 3, 2]

    def test_the_rule_is_stated_and_changes_the_sets(self):
        assert "AU sets without side and intensity" in confusable_sets(SMALL).attrs["summary"]
        kept = confusable_sets(SMALL, keep_side=True)
        assert kept["n_pairs"].tolist() == [2]
        assert "AU sets with side, without intensity" in kept.attrs["summary"]
        assert kept.attrs["rule"]

    def test_their_pairs_add_up_to_all_confusable_pairs(self):
        table = drawn()
        found = confusable_sets(table)
        assert found["n_pairs"].sum() == len(confusable_pairs(table))
        assert found["n_opposite"].sum() == len(confusable_pairs(table, opposite=True))
        emotions = found.columns[7:]
        assert (found[emotions].sum(axis=1) == found["n_clips"]).all()
        assert (found["n_emotions"] == (found[emotions] > 0).sum(axis=1)).all()

    def test_subject_01_of_two_data_sets_is_two_persons(self):
        table = table_of(("01", "12", "happiness"), ("01", "12", "repression")).assign(dataset=["casme2", "samm"])
        assert confusable_sets(table)[["n_subjects", "n_same_subject"]].to_numpy().tolist() == [[2, 0]]


class TestNone:
    @pytest.mark.parametrize(
        ("rows", "sentence"),
        [
            ([("1", "?", "others"), ("2", None, "disgust")], "none here, because the AUs of all 2 clips are unknown"),
            ([("1", "4", None), ("2", "4", None)], "none here, because no clip has a label"),
            ([("1", "4", "anger"), ("2", "12", "anger")], "none here, because all 2 clips are labelled 'anger'"),
            (
                [("1", "4", "anger"), ("2", "12", "happiness")],
                "none here, because no two clips share an AU set and differ in emotion",
            ),
            (
                [("1", "4", "anger"), ("2", "4", "anger"), ("1", "12", "happiness")],
                "none here, because no two clips share an AU set and differ in emotion (1 AU sets have several clips",
            ),
            ([], "none here, because there are no clips"),
        ],
    )
    def test_the_sentence_says_why(self, rows, sentence):
        table = table_of(*rows)
        features = BranchFeatures(*[np.zeros((len(table), 3), np.float32)] * 3, table)
        for found in (
            confusable_sets(table),
            rank_pairs(table, features=features),
            pair_separation(table, features=features),
        ):
            assert found.attrs["none"].startswith(sentence)
            assert sentence in found.attrs["summary"]
            assert found.attrs["summary"].startswith(found.attrs["none"])
            assert len(found) == 0

    def test_a_rule_that_leaves_none_says_so(self):
        table = table_of(("1", "L12", "happiness"), ("2", "12", "others"))
        assert confusable_sets(table, keep_side=True).attrs["none"].endswith("with the side dropped there would be 1")
        features = features_of(table)
        alone = rank_pairs(table, features=features, subjects="same")
        assert alone.attrs["none"] == "none here, because all 1 confusable pairs are of two subjects"
        bare = pair_separation(table, features=features)
        assert bare.attrs["none"] == (
            "none here, because no AU set of the 1 confusable pairs has a pair of one emotion to compare with"
        )


class TestControls:
    @pytest.mark.parametrize("metric", ["standardised", "cosine"])
    def test_each_pair_is_held_against_its_set_as_by_brute_force(self, metric):
        table = drawn(n_subjects=4, clips_per_subject=12)
        features = features_of(table)
        pairs = rank_pairs(table, features=features, metric=metric)
        labels = table.set_index("clip_id")[["action_units", "label"]]
        of_set = {aus: group.index for aus, group in labels.groupby("action_units")}
        place = pd.Index(table["clip_id"])
        for branch in ("motion", "emotion"):
            values = getattr(features, branch)
            for row in pairs.sample(25, random_state=0).to_dict("records"):
                members = of_set[row["action_units"]]
                controls = [
                    (p, q) for i, p in enumerate(members) for q in members[i + 1 :]
                    if labels.loc[p, "label"] == labels.loc[q, "label"]
                ]  # fmt: skip
                assert row["n_controls"] == len(controls)
                every = [*controls, (row["clip_a"], row["clip_b"])]
                a, b = (place.get_indexer([pair[side] for pair in every]) for side in (0, 1))
                *far, own = pair_distance(values, a, b, metric=metric)
                expected = np.mean(np.asarray(far) < own) if far else np.nan
                assert row[f"{branch}_beyond"] == pytest.approx(expected, nan_ok=True)

    @pytest.mark.parametrize("subjects", ["all", "different"])
    def test_their_mean_is_the_pair_separation(self, subjects):
        table = drawn()
        features = features_of(table, motion_knows=1.0)
        pairs = rank_pairs(table, features=features, subjects=subjects)
        held = pair_separation(table, features=features, subjects=subjects, n_resamples=10).set_index("branch")
        for branch in ("motion", "emotion"):
            assert pairs[f"{branch}_beyond"].mean() == pytest.approx(held.loc[branch, "value"])
            assert 0 <= pairs[f"{branch}_beyond"].min() <= pairs[f"{branch}_beyond"].max() <= 1

    def test_a_set_without_a_pair_of_one_emotion_has_no_place(self):
        table = table_of(("1", "12", "happiness"), ("2", "12", "others"), ("1", "4", "anger"), ("2", "4", "anger"))
        pairs = rank_pairs(table, features=features_of(table))
        assert pairs["n_controls"].tolist() == [0]
        assert pairs[["motion_beyond", "emotion_beyond"]].isna().all(axis=None)

    def test_distances_do_not_depend_on_the_size_of_a_block(self, monkeypatch):
        x, rng = np.random.default_rng(0).normal(size=(30, 5)), np.random.default_rng(1)
        a, b = rng.integers(0, 30, (2, 200))
        whole = {metric: pair_distance(x, a, b, metric=metric) for metric in ("standardised", "cosine")}
        monkeypatch.setattr("medn_lab.diagnose.pair_distance._BLOCK", 35)
        for metric, expected in whole.items():
            assert np.array_equal(pair_distance(x, a, b, metric=metric), expected)


class TestPlaces:
    @pytest.mark.parametrize(("metric", "reference"), [("standardised", "seuclidean"), ("cosine", "cosine")])
    def test_distances_and_shares_are_those_of_all_pairs(self, metric, reference, monkeypatch):
        monkeypatch.setattr("medn_lab.diagnose.pair_distance._BLOCK", 47 * 5)  # five rows at a time
        rng = np.random.default_rng(0)
        x = rng.normal(size=(47, 6)) * [1, 2, 3, 4, 5, 6] + 3
        a, b = rng.integers(0, 23, 80), rng.integers(23, 47, 80)
        swap = rng.random(80) < 0.5
        a, b = np.where(swap, b, a), np.where(swap, a, b)
        every = pdist(x, "seuclidean", V=x.var(axis=0)) if metric == "standardised" else pdist(x - x.mean(0), reference)
        every = every / (np.sqrt((every**2).mean()) if metric == "standardised" else 1.0)
        distance, nearer = place_among_all(x, a, b, metric=metric)
        np.testing.assert_allclose(distance, squareform(every)[a, b], atol=1e-7)
        np.testing.assert_allclose(pair_distance(x, a, b, metric=metric), distance, atol=1e-7)
        expected = [
            (every < d - 1e-9).mean() + 0.5 * (np.abs(every - d) <= 1e-9).mean() for d in squareform(every)[a, b]
        ]
        np.testing.assert_allclose(nearer, expected, atol=1e-12)

    def test_unrelated_clips_are_at_one_and_in_the_middle(self):
        x = np.random.default_rng(0).normal(size=(200, 40))
        a, b = np.triu_indices(200, k=1)
        for metric in ("standardised", "cosine"):
            distance, nearer = place_among_all(x, a, b, metric=metric)
            assert distance.mean() == pytest.approx(1, abs=0.02)
            assert nearer.mean() == pytest.approx(0.5, abs=1e-9)

    def test_a_dimension_that_does_not_vary_does_not_count(self):
        x = np.random.default_rng(0).normal(size=(30, 4))
        dead = np.hstack([x, np.full((30, 3), 0.1)])
        one, other = (place_among_all(v, np.arange(10), np.arange(10, 20), metric="standardised") for v in (x, dead))
        np.testing.assert_allclose(one, other, atol=1e-9)

    @pytest.mark.parametrize("metric", ["standardised", "cosine"])
    def test_clips_that_coincide_are_ties_and_not_nearer_by_rounding(self, metric):
        heap = np.repeat([0, 1, 2], [30, 20, 10])
        x = (np.random.default_rng(0).normal(size=(3, 7)) + 1000).astype(np.float32)[heap]
        a, b = np.triu_indices(60, k=1)
        distance, nearer = place_among_all(x, a, b, metric=metric)
        inside = heap[a] == heap[b]
        assert distance[inside].max() < 1e-6
        np.testing.assert_allclose(nearer[inside], inside.mean() / 2, atol=1e-12)
        assert len(np.unique(nearer.round(9))) == 4  # within a heap, and between each two of three


class TestRanking:
    def test_opposite_valence_comes_first_and_each_part_is_in_order(self):
        table = drawn()
        for by, sign in (("separated", 1), ("missed", -1), ("motion", 0)):
            pairs = rank_pairs(table, features=features_of(table), by=by)
            n_opposite = len(confusable_pairs(table, opposite=True))
            assert pairs["opposite"].to_numpy().nonzero()[0].tolist() == list(range(n_opposite))
            score = pairs["motion_similarity"] + sign * pairs["emotion_separation"]
            assert (score[pairs["opposite"]].diff().dropna() <= 0).all()
            assert (score[~pairs["opposite"]].diff().dropna() <= 0).all()
            assert pairs.index.tolist() == list(range(1, len(pairs) + 1))

    def test_the_pairs_are_those_of_confusable_pairs(self):
        table = drawn()
        pairs = rank_pairs(table, features=features_of(table))
        fixed = ["clip_a", "clip_b", "action_units", "label_a", "label_b"]
        assert list(pairs.columns[:5]) == fixed
        same = pairs[fixed].sort_values(["clip_a", "clip_b"], ignore_index=True)
        expected = confusable_pairs(table).sort_values(["clip_a", "clip_b"], ignore_index=True)
        pd.testing.assert_frame_equal(same, expected, check_dtype=False)

    def test_what_is_planted_is_found(self):
        table = drawn()
        pairs = rank_pairs(table, features=features_of(table, emotion_knows=12.0))
        assert pairs["motion_similarity"].median() > 0.8
        first, second = np.triu_indices(len(table), k=1)
        label = table["label"].to_numpy()
        apart = (label[first] != label[second]).mean()  # pairs of two emotions fill the upper end, whatever their AUs
        assert pairs["emotion_separation"].mean() == pytest.approx(1 - apart / 2, abs=0.05)
        blind = rank_pairs(table, features=features_of(table, emotion_knows=0.0))
        assert blind["emotion_separation"].median() == pytest.approx(0.5, abs=0.05)

    def test_features_and_predictions_are_joined_by_clip_id(self):
        table = drawn(n_subjects=4)
        features = features_of(table)
        logits = np.random.default_rng(1).normal(size=(len(table), 5)).astype(np.float32)
        predictions = Predictions(logits, table, tuple(sorted(table["label"].unique())))
        shuffled = table["clip_id"].sample(frac=1, random_state=0)
        one = rank_pairs(table, features=features, predictions=predictions)
        other = rank_pairs(table, features=features.select(shuffled), predictions=predictions.select(shuffled[::-1]))
        pd.testing.assert_frame_equal(one, other)

    def test_the_verdict_is_the_models(self):
        table = table_of(*[("1", "12", name) for name in ("happiness", "others", "happiness", "others")])
        said = ["happiness", "others", "others", "happiness"]
        logits = np.array([[name == one for one in ("happiness", "others")] for name in said], dtype=np.float32)
        predictions = Predictions(logits, table, ("happiness", "others"))
        found = rank_pairs(table, features=features_of(table), predictions=predictions)
        verdicts = {(row.clip_a, row.clip_b): row.verdict for row in found.itertuples()}
        assert verdicts == {
            ("c0", "c1"): "both right", ("c0", "c3"): "one right", ("c1", "c2"): "one right", ("c2", "c3"): "swapped",
        }  # fmt: skip
        assert "one right 50%" in found.attrs["summary"]

    def test_the_filter_divides_the_pairs_by_person(self):
        table = drawn()
        features = features_of(table)
        every, same, different = (
            rank_pairs(table, features=features, subjects=which) for which in ("all", "same", "different")
        )
        assert len(every) == len(same) + len(different)
        subject = table.set_index("clip_id")["subject"]
        assert (subject[same["clip_a"]].to_numpy() == subject[same["clip_b"]].to_numpy()).all()
        assert not different["same_subject"].any()
        assert len(same) > 0

    def test_a_model_without_an_emotion_branch_is_ranked_by_motion(self):
        table = drawn(n_subjects=4)
        features = features_of(table)
        motion = BranchFeatures(features.motion, None, features.motion, table)
        pairs = rank_pairs(table, features=motion, by="motion")
        assert pairs["emotion_separation"].isna().all()
        assert pairs["motion_similarity"].between(0, 1).all()
        with pytest.raises(ValueError, match="no emotion branch; rank by='motion'"):
            rank_pairs(table, features=motion)

    def test_bad_input_gets_one_sentence(self):
        table = drawn(n_subjects=4)
        features = features_of(table)
        with pytest.raises(ValueError, match="1 of 80 clips are not in"):
            rank_pairs(table, features=features.select(table["clip_id"][1:]))
        logits = np.zeros((79, 2), np.float32)
        with pytest.raises(ValueError, match="not in these Predictions"):
            rank_pairs(table, features=features, predictions=Predictions(logits, table[1:], ("happiness", "others")))
        for arguments, sentence in (
            ({"by": "luck"}, "no ranking 'luck'"),
            ({"metric": "l1"}, "no metric 'l1'; there are standardised, cosine"),
            ({"subjects": "some"}, "no choice of subjects 'some'; there are all, same, different"),
            ({"label": "mood"}, "lacks mood"),
        ):
            with pytest.raises(ValueError, match=sentence):
                rank_pairs(table, features=features, **arguments)
        features.emotion[3, 1] = np.inf
        with pytest.raises(ValueError, match="1 of 80 clips have emotion features that are not finite"):
            rank_pairs(table, features=features)


class TestControl:
    def brute(self, table, x):
        """The mean over confusable pairs of the share of nearer pairs of the same AU set and emotion."""
        z = (x - x.mean(axis=0)) / x.std(axis=0)
        distance = squareform(pdist(z))
        shares = []
        for _, rows in table.groupby("action_units").indices.items():
            label = table["label"].to_numpy()[rows]
            i, j = np.triu_indices(len(rows), k=1)
            d, differ = distance[rows[i], rows[j]], label[i] != label[j]
            if differ.any() and not differ.all():
                shares.extend((d[~differ][None] < d[differ][:, None]).mean(axis=1))
        return np.mean(shares)

    def test_it_is_that_of_brute_force(self):
        table = drawn(n_subjects=5)
        features = features_of(table)
        found = pair_separation(table, features=features, n_resamples=10).set_index("branch")
        for branch in ("motion", "emotion", "fused"):
            expected = self.brute(table, getattr(features, branch).astype(float))
            assert found.loc[branch, "value"] == pytest.approx(expected, abs=1e-9)

    def test_weights_count_as_repeated_pairs(self):
        rng = np.random.default_rng(0)
        distance, sets = rng.integers(0, 12, 200).astype(float), rng.integers(0, 4, 200)  # with ties
        differ, weight = rng.random(200) < 0.6, rng.integers(0, 4, 200)
        found = NearerControls(distance, sets=sets, differ=differ, who=np.arange(200)).mean(weight.astype(float))
        shares = []
        for one in range(4):
            controls = np.repeat(distance, np.where(differ | (sets != one), 0, weight))
            for d in np.repeat(distance, np.where(differ & (sets == one), weight, 0)):
                shares.append((controls < d).mean() + 0.5 * (controls == d).mean())
        assert found == pytest.approx(np.mean(shares), abs=1e-12)

    def test_a_branch_of_aus_alone_is_at_one_half_and_its_interval_covers_it(self):
        covered, values = 0, []
        for seed in range(12):
            table = drawn(n_subjects=8, clips_per_subject=15, seed=seed)
            row = pair_separation(table, features=features_of(table, seed=seed), n_resamples=200).iloc[0]
            covered += row["low"] <= 0.5 <= row["high"]
            values.append(row["value"])
        assert np.mean(values) == pytest.approx(0.5, abs=0.02)
        assert covered >= 9

    def test_a_branch_that_knows_the_emotion_is_near_one_and_a_leaking_motion_branch_is_seen(self):
        table = drawn()
        tight = pair_separation(table, features=features_of(table, emotion_knows=12.0)).set_index("branch")
        assert tight.loc["emotion", "value"] > 0.99
        assert tight.loc["emotion", "low"] > 0.95
        leaking = pair_separation(table, features=features_of(table, motion_knows=3.0)).set_index("branch")
        assert leaking.loc["motion", "low"] > 0.6
        assert leaking.loc["motion", "direction"].startswith("0.5 is good")

    def test_a_code_of_few_values_is_at_one_half_where_it_knows_nothing_and_below_one_by_its_ties(self):
        table = drawn()
        heap = np.random.default_rng(0).integers(0, 3, len(table))
        code = (np.random.default_rng(1).normal(size=(3, 8)) + 50).astype(np.float32)
        blind = BranchFeatures(features_of(table).motion, code[heap], None, table)
        row = pair_separation(table, features=blind).set_index("branch").loc["emotion"]
        assert row["low"] <= 0.5 <= row["high"]
        cue = table["cue"].astype("category").cat.codes.to_numpy()
        knows = BranchFeatures(blind.motion, code[cue], None, table)
        found = pair_separation(table, features=knows).set_index("branch").loc["emotion", "value"]
        shares = []
        for rows in table.groupby("action_units").indices.values():
            i, j = (rows[part] for part in np.triu_indices(len(rows), k=1))
            differ, apart = table["label"].to_numpy()[i] != table["label"].to_numpy()[j], cue[i] != cue[j]
            if differ.any() and not differ.all():  # clips of one emotion have one cue, so no control is ever apart
                shares += np.where(apart[differ], 1.0, 0.5).tolist()
        assert found == pytest.approx(np.mean(shares), abs=1e-9)

    def test_pairs_without_a_control_are_left_out_and_told(self):
        table = table_of(
            ("1", "12", "happiness"), ("2", "12", "happiness"), ("1", "12", "others"), ("1", "4", "disgust"),
            ("2", "4", "others"),
        )  # fmt: skip
        found = pair_separation(table, features=features_of(table))
        assert found["n_pairs"].tolist() == [2, 2, 2]
        assert found["n_controls"].tolist() == [1, 1, 1]
        assert "1 pairs without a control left out" in found.attrs["summary"]

    def test_one_subject_has_no_interval(self):
        table = drawn(n_subjects=1, clips_per_subject=60)
        found = pair_separation(table, features=features_of(table))
        assert found["low"].isna().all()
        assert found["value"].notna().all()

    def test_the_order_of_rows_changes_nothing(self):
        table = drawn(n_subjects=4)
        features = features_of(table)
        one = pair_separation(table, features=features, n_resamples=50)
        other = pair_separation(table.sample(frac=1, random_state=1), features=features, n_resamples=50)
        np.testing.assert_allclose(one["value"], other["value"], atol=1e-9)
        np.testing.assert_allclose(one[["low", "high"]], other[["low", "high"]], atol=1e-9)
