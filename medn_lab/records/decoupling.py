"""The report on decoupling: what the instruments say of one model or of several, a measure a row."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records.report_html import report_page, write_page
from medn_lab.records.results import _Record
from medn_lab.records.run import describe_source

KEYS = ("kind", "measure", "given", "branch", "target")
"""Columns that together say what a row measures, whatever the model."""


@dataclass(frozen=True, eq=False, repr=False)
class DecouplingReport(_Record):
    """Dependence and leakage between the branches, a measure a row.

    Attributes
    ----------
    table : DataFrame
        ``measure, value, null_mean, null_95, p, n_clips, n_subjects, direction`` and, as
        ``medn.diagnose.decoupling_report`` makes it: ``model``; ``kind`` (``dependence``, ``leakage``,
        ``information``); ``given``, the factor taken off both branches first (empty for none); ``within``, inside what
        clips were exchanged for the null; ``branch, target`` of a leak; ``low, high`` (interval); ``allowed, excess,
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
      tiny: linear cka 0.020 (p 0.4)
    >>> report.compare()["tiny"].tolist()
    [0.02, 0.001]
    """

    table: pd.DataFrame
    source: Mapping[str, Any] = field(default_factory=dict)
    clips: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["model", "clip_id"]))

    _tables = ("table", "clips")
    _meta = ("source",)

    def __repr__(self) -> str:
        named = self.models or [str(self.source.get("name", "an unnamed model"))]
        seed = self.source.get("parameters", {}).get("seed")
        first = f"DecouplingReport: {len(self.table)} measures of {', '.join(named)}"
        lines = [first if seed is None else f"{first}; seed {seed}"]
        facts = self.source.get("models", {})
        for name in self.models:
            said = [part for part in (self._headline(name), describe_source(facts.get(name, {}))) if part]
            lines += [f"  {name}: {'; '.join(said)}"] if said else []
        return "\n".join(lines)

    @property
    def models(self) -> list[str]:
        """The names of the models compared, in their order."""
        return list(dict.fromkeys(self.table["model"])) if "model" in self.table else []

    @property
    def dependence(self) -> pd.DataFrame:
        """The rows on dependence between the two branches."""
        return self._of_kind("dependence").reset_index(drop=True)

    @property
    def leakage(self) -> pd.DataFrame:
        """The rows on leakage, with the columns of ``medn.diagnose.leakage``; ``value`` is the AUC."""
        return self._of_kind("leakage").reset_index(drop=True)

    def compare(self) -> pd.DataFrame:
        """The values side by side: what is measured in the rows, a model a column."""
        keys = [name for name in KEYS if name in self.table]
        rows = self.table.set_index(keys)
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
        tables: list[pd.DataFrame] = []
        clips: list[pd.DataFrame] = []
        models: dict[str, Any] = {}
        for name, report in reports.items():
            own = report.models
            called = {old: f"{name}: {old}" if len(own) > 1 else str(name) for old in own}
            table = report.table
            tables.append(table.assign(model=table["model"].map(called) if own else str(name)))
            clips.append(report.clips.assign(model=report.clips["model"].map(called)))
            facts = report.source.get("models", {})
            models |= {new: facts.get(old, {}) for old, new in called.items()}
        source: dict[str, Any] = {"models": models}
        for what in dict.fromkeys(key for report in reports.values() for key in report.source if key != "models"):
            given = {name: report.source.get(what) for name, report in reports.items()}
            first = next(iter(given.values()))
            source[what] = first if all(one == first for one in given.values()) else given
        return cls(pd.concat(tables, ignore_index=True), source, pd.concat(clips, ignore_index=True))

    def only(self, models: Iterable[str]) -> DecouplingReport:
        """The report on these models alone, in their order here; ValueError if one is not in it."""
        wanted = list(models)
        strange = [name for name in wanted if name not in self.models]
        if strange or not wanted:
            fault = f"no model {strange[0]!r}" if strange else "no model is named"
            raise ValueError(f"{fault}; the report has {', '.join(self.models) or 'none'}")
        facts = {name: one for name, one in self.source.get("models", {}).items() if name in wanted}
        table = self.table[self.table["model"].isin(wanted)].reset_index(drop=True)
        clips = self.clips[self.clips["model"].isin(wanted)].reset_index(drop=True)
        return DecouplingReport(table, {**self.source, "models": facts}, clips)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        figures: Mapping[str, object] | Iterable[object] = (),
        title: str = "Are the branches decoupled?",
    ) -> Path:
        """Write one self-contained page, to be attached to a paper: nothing in it is fetched from elsewhere.

        Parameters
        ----------
        path : path-like
            The ``.html`` file; its folder is made. A file that is there is replaced when the new one is whole.
        figures : mapping of str to figure, or iterable of figures
            Pictures with their captions: plotly figures (they stay interactive; the first brings some 5 MB of plotly
            with it) or the bytes of PNG files. ``medn.view.plot_dependence(report)`` and ``plot_leakage(report)`` are
            made for it.
        title : str
            Plain text.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        ValueError
            If a figure is neither a plotly figure nor a PNG.
        """
        captioned = figures.items() if isinstance(figures, Mapping) else [("", figure) for figure in figures]
        return write_page(Path(path), report_page(self.table, self.source, list(captioned), title))

    def _of_kind(self, kind: str) -> pd.DataFrame:
        return self.table[self.table["kind"] == kind] if "kind" in self.table else self.table.iloc[:0]

    def _headline(self, name: str) -> str:
        own = self.table[self.table["model"] == name]
        of_aus = own[(own["branch"] == "emotion") & (own["target"] == "AUs")]
        of_branches = own[(own["kind"] == "dependence") & (own["given"] == "")]
        said = []
        if "reason" in own:
            reasons = dict.fromkeys([*of_branches["reason"], *of_aus["reason"]])
            said = [str(reason) for reason in reasons if str(reason).endswith(" constant")]
        for row in of_branches.to_dict("records"):
            if row["measure"] in ("linear_cka", "distance_correlation") and np.isfinite(row["value"]):
                said.append(f"{row['measure'].replace('_', ' ')} {row['value']:.3f} (p {row['p']:.2g})")
        for row in of_aus.to_dict("records"):
            if np.isfinite(row["value"]):
                allowed = f", allowed {row['allowed']:.3f}" if np.isfinite(row["allowed"]) else ""
                worst = (
                    f", worst {row['worst_target']} {row['worst_auc']:.3f}"
                    if np.isfinite(row.get("worst_auc", np.nan))
                    else ""
                )
                said.append(f"AUs from the emotion branch {row['value']:.3f}{allowed}{worst}")
        return "; ".join(said)
