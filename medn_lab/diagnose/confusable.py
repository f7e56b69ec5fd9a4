"""Confusable pairs, as a diagnostic: what motion alone cannot tell apart."""

from medn_lab.evaluate.pairs import confusable_pairs

__all__ = ["confusable_pairs"]
