"""The frozen records that flow between the steps; this room knows no other."""

from medn_lab.records.action_units import (
    CODING_COLUMNS,
    ActionUnits,
    au_codings,
    au_doubt,
    au_set_text,
    au_sets,
    au_table,
    parse_action_units,
)
from medn_lab.records.action_units import (
    AlternativeRule as AlternativeRule,
)
from medn_lab.records.answers import LivePrediction
from medn_lab.records.attribution import Attribution
from medn_lab.records.clip_index import PROBLEM_COLUMNS, ClipIndex, no_problems
from medn_lab.records.clips import Clips, Truth
from medn_lab.records.constant import constant_columns, constant_reason, is_constant
from medn_lab.records.decoupling import DecouplingReport
from medn_lab.records.evaluation import EvaluationSummary
from medn_lab.records.kept import KeptTokens
from medn_lab.records.present import require
from medn_lab.records.results import BranchFeatures, Embedding, History, Predictions
from medn_lab.records.rows import (
    au_columns,
    check_label,
    check_rows,
    check_table,
    frame_numbers,
    normalise_labels,
    people,
    positions,
)
from medn_lab.records.run import ids_sha256, run_record
from medn_lab.records.storage import (
    Parts,
    RecordError,
    note_arrays,
    read_parts,
    read_table,
    sha256_of_file,
    write_parts,
)
from medn_lab.records.text import normalise_text
from medn_lab.records.whole_folder import atomic_write, remove_leftovers

__all__ = [
    "CODING_COLUMNS",
    "PROBLEM_COLUMNS",
    "ActionUnits",
    "LivePrediction",
    "Attribution",
    "BranchFeatures",
    "ClipIndex",
    "Clips",
    "DecouplingReport",
    "Embedding",
    "EvaluationSummary",
    "History",
    "KeptTokens",
    "Parts",
    "Predictions",
    "RecordError",
    "Truth",
    "au_codings",
    "au_columns",
    "au_doubt",
    "au_set_text",
    "au_sets",
    "au_table",
    "check_label",
    "check_rows",
    "check_table",
    "remove_leftovers",
    "constant_columns",
    "constant_reason",
    "frame_numbers",
    "ids_sha256",
    "is_constant",
    "no_problems",
    "normalise_labels",
    "normalise_text",
    "note_arrays",
    "parse_action_units",
    "people",
    "positions",
    "require",
    "read_parts",
    "read_table",
    "run_record",
    "sha256_of_file",
    "atomic_write",
    "write_parts",
]
