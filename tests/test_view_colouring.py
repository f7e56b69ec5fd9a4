"""What clips are coloured by: of more than 12 categories the rarest share the entry ``other`` and keep their names."""

import numpy as np
import pandas as pd
import pytest

from medn_lab.records import Embedding
from medn_lab.view import plot_embedding, plot_embeddings
from medn_lab.view.colouring import colouring
from medn_lab.widgets import BranchExplorer

N = 300
AUS = [f"AU{number}" for number in (1, 2, 4, 6, 7, 12)]


@pytest.fixture(scope="module")
def table():
    """Categories of every kind, each of another size: the k-th of m has about k times the clips of the first."""
    rng = np.random.default_rng(0)

    def some(m, name):
        return [f"{name}{place:02}" for place in rng.choice(m, N, p=np.arange(1, m + 1) / (m * (m + 1) / 2))]

    columns = {
        "clip_id": [f"c{place}" for place in range(N)], "subject": some(40, "s"), "label": some(14, "e"),
        "fold": some(26, "f"), "session": some(20, "day "), "few": some(12, "g"),
    }  # fmt: skip
    return pd.DataFrame(columns | dict(zip(AUS, rng.integers(0, 2, size=(len(AUS), N)), strict=True)))


@pytest.fixture(scope="module")
def embedding(table):
    return Embedding(*np.random.default_rng(1).normal(size=(3, N, 2)), table)


FOLDED = ["subject", "label", "fold", "session", "au_set"]


@pytest.mark.parametrize("by", FOLDED)
def test_the_rarest_share_one_entry(table, by):
    colours = colouring(table, by)
    counts = colours.counts
    assert len(counts) == 12
    assert list(counts)[-1] == "other"
    own = pd.Series(colours.own).value_counts()
    assert sum(counts.values()) == N
    assert min(n for name, n in counts.items() if name != "other") >= own[~own.index.isin(counts)].max()
    assert counts["other"] == own[~own.index.isin(counts)].sum()
    assert colours.title.endswith(f", 11 of {len(own)} named")


def test_twelve_categories_are_all_named(table):
    colours = colouring(table, "few")
    assert (len(colours.styles), "other" in colours.styles, colours.own) == (12, False, None)


def test_a_category_that_is_called_other_keeps_its_name(table):
    common = table.assign(label=np.where(np.arange(N) % 2, "other", table["label"]))
    counts = colouring(common, "label").counts
    assert counts["other"] >= N // 2
    assert list(counts)[-1] == "all other"


def test_unknown_is_not_folded(table):
    counts = colouring(table.assign(subject=table["subject"].where(table["subject"] != "s39")), "subject").counts
    assert (list(counts)[-2:], len(counts)) == (["other", "unknown"], 13)


def test_numbers_are_cut_at_their_quintiles_and_names_that_are_numbers_are_not(table):
    numbered = table.assign(length=np.arange(N), subject=np.arange(N) % 30)
    assert len(colouring(numbered, "length").styles) == 5
    assert list(colouring(numbered, "subject").styles)[-1] == "other"


@pytest.mark.parametrize("by", FOLDED)
def test_legends_say_how_many_and_the_pointer_names_the_true_one(embedding, by):
    own = dict(zip(embedding.table["clip_id"], colouring(embedding.table, by).own, strict=True))
    for figure in (plot_embedding(embedding, colour_by=by), plot_embeddings({"a": embedding}, colour_by=by)):
        named = [trace for trace in figure.data if trace.showlegend]
        assert len(named) == 12
        rest = named[-1]
        assert rest.name == f"other ({len(rest.x)})"
        assert "named" in figure.layout.title.text
        for clip_id, text in zip(rest.customdata, rest.hovertext, strict=True):
            assert any(f" {line}".endswith(f" {own[clip_id]}") for line in text.split("<br>"))


@pytest.mark.parametrize("by", FOLDED)
def test_the_explorer_names_the_true_one_too(embedding, by):
    explorer = BranchExplorer(embedding, colour_by=by)
    colours = colouring(embedding.table, by)
    n = colours.counts["other"]
    assert sum(explorer.branch_maps.styles[place]["name"] == "other" for place in explorer.branch_maps.style_of) == n
    assert (f"other ({n})", "other") in explorer._controls.groups.options
    for text, own in zip(explorer.branch_maps.texts, colours.own, strict=True):
        assert any(f" {line}".endswith(f" {own}") for line in text.splitlines())
    explorer._controls.groups.value = "other"
    assert len(explorer.selection) == n
    explorer.colour_by = "few"
    assert "day " not in explorer.branch_maps.texts[0]


def test_one_subject_number_in_two_data_sets_is_two_people():
    table = pd.DataFrame(
        {"clip_id": list("abcd"), "subject": ["01"] * 4, "dataset": ["casme2", "casme2", "samm", "samm"]}
    )
    assert colouring(table, "subject").counts == {"casme2/01": 2, "samm/01": 2}
    explorer = BranchExplorer(Embedding(*np.zeros((3, 4, 2), np.float32), table))
    explorer.select(["a", "c"])
    assert "2 subjects" in explorer._selected.value
    assert explorer.filter(subjects=["samm/01"])["clip_id"].tolist() == ["c", "d"]
