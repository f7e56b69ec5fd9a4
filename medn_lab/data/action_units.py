"""The names of the AU notation that ``medn_lab.data`` offers; they live in ``records``."""

from medn_lab.records import ActionUnits, au_table, parse_action_units

__all__ = ["ActionUnits", "au_table", "parse_action_units"]
