"""Names of answers.py under their former address."""

from medn_lab.view.answers import ABSENT, SCORE_RANGE, au_bars, clip_au_scores, clip_scores, score_bars  # noqa: F401
