"""Several measures in one record: the report on decoupling with its page, and the summary of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records.clips import _Record
from medn_lab.records.results import Predictions
from medn_lab.records.storage import describe_source
from medn_lab.records.table import counted

# Columns that together say what a row measures, whatever the model.
KEYS = ("kind", "measure", "given", "branch", "target")

# What figures and pages call the measures of dependence.
MEASURES = {
    "linear_cka": "linear CKA", "distance_correlation": "distance correlation, squared", "hsic": "HSIC",
    "canonical_correlations": "first canonical correlation", "branch_correlation": "mean squared correlation",
    "absolute_cosine": "mean |cosine| within a clip",
}  # fmt: skip

# The columns of a report on decoupling.
TEXTS = ["model", *KEYS, "within", "reason", "direction", "worst_target"]
NUMBERS = [
    "value", "low", "high", "null_mean", "null_95", "p", "p_family", "n_tests", "allowed", "excess", "excess_low",
    "excess_high", "worst_auc", "worst_excess", "n_positive", "n_clips", "n_subjects",
]  # fmt: skip


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every column of a report on decoupling, texts empty and numbers NaN where missing."""
    table = table.reindex(columns=table.columns.union([*TEXTS, *NUMBERS], sort=False))
    table[TEXTS] = table[TEXTS].astype(object).fillna("")
    table[NUMBERS] = table[NUMBERS].apply(pd.to_numeric, errors="coerce").astype(float)
    return table


def sample_text(table: pd.DataFrame) -> str:
    """The largest number of clips and of subjects in the table, in words; empty where neither is known."""
    named = zip(table.reindex(columns=["n_clips", "n_subjects"]).max(), ("clip", "subject"), strict=True)
    return " of ".join(counted(int(size), what) for size, what in named if np.isfinite(size))


@dataclass(frozen=True, eq=False, repr=False)
class DecouplingReport(_Record):
    """Dependence and leakage between the branches, a measure a row.

    Attributes
    ----------
    table : DataFrame
        ``measure, value, null_mean, null_95, p, n_clips, n_subjects, direction`` and, as
        ``medn.diagnose.decoupling_report`` makes it: ``model``; ``kind`` (``dependence``, ``leakage``,
        ``conditional``, ``readers`` whose `measure` is the reader, ``information``); ``given``, the factor that is held
        fixed (empty for none); ``within``, inside what clips were exchanged for the null; ``p_family``, p corrected for
        the ``n_tests`` tests of ``family``; ``branch, target`` of a leak; ``low, high`` (interval); ``allowed, excess,
        excess_low, excess_high`` (what the branch's own factor allows, and what is beyond it); ``worst_target,
        worst_auc, worst_excess`` (the single AU that leaks most, in the row of their mean);
        ``n_positive, n_unknown``; and ``reason`` where a figure is missing.
    source : dict
        ``models`` (by name: checkpoint's sha256, recipe, data sets), ``protocol``, ``parameters`` (seed, permutations,
        probe), ``versions``, ``about`` (whatever the caller knows, such as the training switch), ``run``.
    clips : DataFrame
        What was measured: the clips' table of each ``model``.

    Examples
    --------
    >>> measures = pd.DataFrame({"measure": ["linear_cka", "hsic"], "value": [0.02, 0.001], "p": [0.4, 0.3]})
    >>> table = measures.assign(model="tiny", kind="dependence", given="", within="", branch="", target="")
    >>> report = DecouplingReport(table)
    >>> report
    DecouplingReport: 2 measures of tiny
      tiny: linear CKA 0.020 (p 0.4)
    >>> report.compare()["tiny"].tolist()
    [0.02, 0.001]
    """

    table: pd.DataFrame
    source: Mapping[str, Any] = field(default_factory=dict)
    clips: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["model", "clip_id"]))

    def __repr__(self) -> str:
        named = ", ".join(self.models) or self.source.get("name", "an unnamed model")
        parameters = self.source.get("parameters", {})
        seed = f"; seed {parameters['seed']}" if "seed" in parameters else ""
        lines = [f"DecouplingReport: {counted(len(self.table), 'measure')} of {named}{seed}"]
        for name in self.models:
            facts = [*self._headlines(name), describe_source(self.source.get("models", {}).get(name, {}))]
            lines += [f"  {name}: {'; '.join(filter(None, facts))}"] if any(facts) else []
        return "\n".join(lines)

    @property
    def models(self) -> list[str]:
        """The names of the models compared, in their order."""
        return list(dict.fromkeys(self.table["model"])) if "model" in self.table else []

    @property
    def dependence(self) -> pd.DataFrame:
        """The rows on dependence between the two branches."""
        return self._of_kind("dependence")

    @property
    def leakage(self) -> pd.DataFrame:
        """The rows on leakage, with the columns of ``medn.diagnose.leakage``; ``value`` is the AUC."""
        return self._of_kind("leakage")

    @property
    def conditional(self) -> pd.DataFrame:
        """The rows on leakage among clips of one state, as ``medn.diagnose.conditional_leakage``."""
        return self._of_kind("conditional")

    @property
    def readers(self) -> pd.DataFrame:
        """The rows on usable information; ``measure`` is the reader, ``value`` bits a clip."""
        return self._of_kind("readers")

    @property
    def reader_order(self) -> str:
        """Whether the order of the models by usable information depends on the reader; empty for fewer than 2 models.

        Models are ordered by the excess over what the branch's own factor allows, or by the value where nothing is.
        """
        rows, found = completed(self.readers), []
        for (branch, target), own in rows.groupby(["branch", "target"], sort=False) if len(self.models) > 1 else ():
            chosen = ["value", "low", "high"] if own["excess"].isna().any() else ["excess", "excess_low", "excess_high"]
            wide = own.pivot_table(chosen, "model", "measure", dropna=False).reindex(self.models)
            value, low, high = (wide[name] for name in chosen)
            orders: dict[str, list[str]] = {}
            for reader in [name for name in own["measure"].unique() if value[name].notna().all()]:
                orders.setdefault(" < ".join(value[reader].sort_values(kind="stable").index), []).append(reader)
            # A pair is reversed where one reader has a model clearly below another, and another reader the reverse.
            below = {(a, b) for a, b in permutations(self.models, 2) if (high.loc[a] < low.loc[b]).any()}
            clear = any(pair[::-1] in below for pair in below)
            does = "depends on the reader" + " only where their intervals overlap" * (not clear)
            does = "does not depend on the reader" if len(orders) == 1 else does
            listed = "; ".join(f"{', '.join(readers)}: {order}" for order, readers in orders.items())
            result = f"the order of the models {does} ({listed})" if orders else "no reader has a value"
            found.append(f"{target} from the {branch} branch: {result}")
        return "; ".join(found)

    def compare(self) -> pd.DataFrame:
        """The values side by side: what is measured in the rows, a model a column."""
        rows = self.table.set_index([name for name in KEYS if name in self.table])
        order = rows.index.drop_duplicates()
        return pd.DataFrame({name: rows.loc[rows["model"] == name, "value"].reindex(order) for name in self.models})

    @classmethod
    def joined(cls, reports: Mapping[str, DecouplingReport]) -> DecouplingReport:
        """Several reports as one, so that their models can be compared.

        Parameters
        ----------
        reports : mapping of str to DecouplingReport
            A report of one model goes under its name here, one of several under ``name: model``.

        Returns
        -------
        DecouplingReport
            The protocol, parameters and versions of each report stand under its name where they differ.

        Raises
        ------
        ValueError
            If there is no report.
        """
        if not reports:
            raise ValueError("there is no report to join; give a mapping of names to reports")
        tables, clips, models = [], [], dict[str, Any]()
        for name, report in reports.items():
            own, facts = report.models, report.source.get("models", {})
            called = {old: f"{name}: {old}" if len(own) > 1 else str(name) for old in own}
            tables.append(report.table.assign(model=report.table["model"].map(called) if own else str(name)))
            clips.append(report.clips.assign(model=report.clips["model"].map(called)))
            models |= {new: facts.get(old, {}) for old, new in called.items()}
        source: dict[str, Any] = {}
        for what in dict.fromkeys(key for report in reports.values() for key in report.source if key != "models"):
            given = {name: report.source.get(what) for name, report in reports.items()}
            first, *others = given.values()
            source[what] = first if all(one == first for one in others) else given
        source["models"] = models
        return cls(pd.concat(tables, ignore_index=True), source, pd.concat(clips, ignore_index=True))

    def only(self, models: Iterable[str]) -> DecouplingReport:
        """The report on these models alone, in their order here; ValueError if one is not in it."""
        wanted = list(models)
        unknown = [name for name in wanted if name not in self.models]
        if unknown or not wanted:
            fault = f"no model {unknown[0]!r}" if unknown else "no model is named"
            raise ValueError(f"{fault}; the report has {', '.join(self.models) or 'none'}")
        facts = {name: one for name, one in self.source.get("models", {}).items() if name in wanted}
        table, clips = (own[own["model"].isin(wanted)].reset_index(drop=True) for own in (self.table, self.clips))
        return DecouplingReport(table, {**self.source, "models": facts}, clips)

    def to_html(
        self, path: str | os.PathLike[str], *, figures: Mapping[str, Any] | Iterable[Any] = (),
        title: str = "Are the branches decoupled?",
    ) -> Path:  # fmt: skip
        """Write one self-contained page, to be attached to a paper: nothing in it is fetched from elsewhere.

        Parameters
        ----------
        path : path-like
            The ``.html`` file; its folder is made. A file that is there is replaced when the new one is whole.
        figures : mapping of str to figure, or iterable of figures
            Plotly figures with their captions; they stay interactive, and the first brings some 5 MB of plotly with
            it. ``medn.view.plot_dependence(report)`` and ``plot_leakage(report)`` are made for it.
        title : str
            Plain text.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        ValueError
            If a figure is no plotly figure.
        """
        from jinja2 import Environment, StrictUndefined

        pictures: list[dict[str, str]] = []
        named: Iterable[Any] = figures.items() if isinstance(figures, Mapping) else (("", one) for one in figures)
        for caption, figure in named:
            if not hasattr(figure, "to_plotly_json"):
                raise ValueError(f"a figure of the report is a {type(figure).__name__}; give plotly figures")
            html = figure.to_html(full_html=False, include_plotlyjs=not pictures)  # one copy of plotly serves all
            pictures.append({"caption": caption, "html": html})
        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
        template = environment.from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
        # The models' rows on one measure stand together.
        rows = [group for _, group in completed(self.table).groupby(list(KEYS), sort=False)] or [self.table]
        page = template.render(
            report=self, title=title, figures=pictures, measures=MEASURES, rows=pd.concat(rows).to_dict("records"),
            sizes={name: sample_text(self.table[self.table["model"] == name]) for name in self.models},
            summary={name: self._headlines(name) for name in self.models},
        )  # fmt: skip
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(page, encoding="utf-8")
        return draft.replace(path)

    def _of_kind(self, kind: str) -> pd.DataFrame:
        rows = self.table[self.table["kind"] == kind] if "kind" in self.table else self.table[:0]
        return rows.reset_index(drop=True)

    def _headlines(self, name: str) -> list[str]:
        """The main figures of a model, a phrase each."""
        facts: dict[str, None] = {}
        for row in completed(self.table[self.table["model"] == name]).to_dict("records"):
            kind, value, given, leak = row["kind"], row["value"], row["given"], (row["branch"], row["target"])
            if row["reason"].endswith(" constant"):
                facts[row["reason"]] = None
            elif np.isnan(value):
                continue
            elif kind == "dependence" and not given and row["measure"] in ("linear_cka", "distance_correlation"):
                facts[f"{MEASURES[row['measure']]} {value:.3f}" + f" (p {row['p']:.2g})" * (row["p"] >= 0)] = None
            elif kind in ("leakage", "conditional") and leak == ("emotion", "AUs"):
                allowed = f"allowed {row['allowed']:.3f}" if np.isfinite(row["allowed"]) else "nothing allowed"
                worst = f", worst {row['worst_target']} {row['worst_auc']:.3f}" if row["worst_target"] else ""
                which, bound = (f" given the {given}", f"p {row['p']:.2g}") if given else ("", allowed)
                facts[f"AUs from the emotion branch{which} {value:.3f} ({bound}{worst})"] = None
        return list(facts)


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationSummary:
    """What a model scores, and what stands behind the score.

    Made by ``medn.evaluate.evaluation_summary``; what could not be worked out is None or empty, and `notes` says why.

    Attributes
    ----------
    predictions : Predictions
        All clips, also those without a label.
    scores : DataFrame
        ``part, measure, value, low, high, floor, n_clips, n_subjects``: accuracy, UF1 and UAR of all clips and of each
        data set, with the interval over resampled subjects and the AU-only floor (NaN where there is none).
        ``.attrs["floor"]`` names the floor.
    subjects : DataFrame
        A person a row: ``subject, n_clips, accuracy, most_missed`` (the class that was missed most often).
    aus : DataFrame or None
        An AU a row, as ``medn.evaluate.au_detection(...)`` returns it.
    folds : DataFrame or None
        ``fold, held_out, n_test, accuracy, error``.
    ceilings : dict of str to float
        The best accuracy that a perfect reader can expect, by what it reads.
    label : str
        Column of the true class.
    notes : tuple of str
        What is missing, a sentence each.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "label": ["x", "y"]})
    >>> EvaluationSummary(Predictions(np.eye(2), table, ("x", "y")), ceilings={"AUs alone": 0.42})
    EvaluationSummary: 2 clips, 2 classes
      ceilings: AUs alone 0.420
    """

    predictions: Predictions
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    subjects: pd.DataFrame = field(default_factory=pd.DataFrame)
    aus: pd.DataFrame | None = None
    folds: pd.DataFrame | None = None
    ceilings: Mapping[str, float] = field(default_factory=dict)
    label: str = "label"
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        clips, named = counted(len(self.predictions), "clip"), self.scores.attrs.get("floor", "AU-only floor")
        lines = [f"EvaluationSummary: {clips}, {len(self.predictions.classes)} classes"]
        for row in self.scores.itertuples():
            bounds = "no interval" if np.isnan(row.low) else f"[{row.low:.3f}, {row.high:.3f}]"
            floor = "" if np.isnan(row.floor) else f"   {named} {row.floor:.3f}"
            lines.append(f"  {f'{row.part}: ' * (row.part != 'all')}{row.measure:<9}{row.value:.3f} {bounds}{floor}")
        if self.ceilings:
            lines.append("  ceilings: " + ", ".join(f"{name} {value:.3f}" for name, value in self.ceilings.items()))
        made = describe_source(self.predictions.source)
        return "\n".join(lines + [f"  {note}" for note in (made, *self.notes) if note])
