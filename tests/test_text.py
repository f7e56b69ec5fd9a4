"""Signs of other keyboards and programs, read as what they are."""

import numpy as np
import pandas as pd
import pytest

from medn_lab.records import normalise_text


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("４，７", "4,7"),
        ("４、７", "4,7"),
        ("４；７", "4;7"),
        ("Ｌ１２＋Ｒ１４", "L12+R14"),
        ("（6／12）？", "(6/12)?"),
        ("disgust\u00a0", "disgust"),
        ("\ufeffSubject", "Subject"),
        ("On\u200bset\u3000Frame", "Onset Frame"),
        ("ＡＵ", "AU"),
        ("2–3", "2-3"),
        ("a\r\n b", "a b"),
        (4, "4"),
        (None, ""),
        (np.nan, ""),
        (np.float32("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
    ],
)
def test_full_width_and_typographic_signs_become_plain_ones(written, plain):
    assert normalise_text(written) == plain
    assert normalise_text(plain) == plain
