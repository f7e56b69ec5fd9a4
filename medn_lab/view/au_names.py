"""What FACS calls its Action Units, for tooltips and headings."""

from __future__ import annotations

AU_NAMES = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU9": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU11": "nasolabial deepener",
    "AU12": "lip corner puller",
    "AU13": "sharp lip puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU18": "lip pucker",
    "AU20": "lip stretcher",
    "AU22": "lip funneler",
    "AU23": "lip tightener",
    "AU24": "lip pressor",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
    "AU28": "lip suck",
    "AU43": "eyes closed",
    "AU45": "blink",
}
"""Ekman, Friesen and Hager: Facial Action Coding System, 2002."""


def au_name(au: str) -> str:
    """An AU with what FACS calls it.

    Examples
    --------
    >>> au_name("AU4"), au_name("AU99")
    ('AU4, brow lowerer', 'AU99')
    """
    return f"{au}, {AU_NAMES[au]}" if au in AU_NAMES else au
