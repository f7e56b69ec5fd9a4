"""Which clips stand for all of them where a map cannot hold every one."""

from __future__ import annotations

import numpy as np
import pandas as pd


def sample_clips(table: pd.DataFrame, *, most: int, seed: int = 0) -> list[str]:
    """Draw clips so that every subject keeps the same share, and at least one clip.

    The rule: with n clips, each subject gives its share of `most` (its clips times `most` over n, rounded down, at
    least one), and what is left over goes to the subjects with the largest remainders; within a subject clips are drawn
    without replacement. With more subjects than `most`, each of `most` subjects, drawn at random, gives one.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``, and ``subject`` where it is known; without it clips are drawn from all alike.
    most : int
        Clips to draw, at least 1.
    seed : int

    Returns
    -------
    list of str
        The ids of ``min(most, n)`` clips in the table's order; all of them where there are no more than `most`.

    Raises
    ------
    ValueError
        If `most` is below 1.

    See Also
    --------
    umap : draws so where there are more clips than its ``most_clips``.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(9)], "subject": list("aaaaaabbc")})
    >>> drawn = sample_clips(table, most=5)
    >>> table.set_index("clip_id").loc[drawn, "subject"].value_counts().to_dict()
    {'a': 3, 'b': 1, 'c': 1}
    """
    if most < 1:
        raise ValueError(f"most is {most}; at least one clip must be drawn")
    n = len(table)
    if n <= most:
        return table["clip_id"].astype(str).tolist()
    rng = np.random.default_rng(seed)
    subject = table["subject"].astype(str).to_numpy() if "subject" in table.columns else np.full(n, "")
    names, of_clip, counts = np.unique(subject, return_inverse=True, return_counts=True)
    exact = counts * most / n
    quota = np.maximum(np.floor(exact).astype(int), 1)
    if len(names) > most:
        quota = np.zeros(len(names), dtype=int)
        quota[rng.choice(len(names), most, replace=False)] = 1
    left = most - quota.sum()
    for place in np.argsort(quota - exact, kind="stable"):  # the largest remainders first
        if left <= 0:
            break
        if quota[place] < counts[place]:
            quota[place], left = quota[place] + 1, left - 1
    while left < 0:  # single clips of small subjects have taken more than their share: the largest give it back
        place = int(np.argmax(quota - exact))
        place = place if quota[place] > 1 else int(quota.argmax())
        quota[place], left = quota[place] - 1, left + 1
    order = rng.permutation(n)
    ranked = order[np.argsort(of_clip[order], kind="stable")]  # by subject, within it at random
    place_within = np.arange(n) - np.concatenate([[0], np.cumsum(counts)[:-1]])[of_clip[ranked]]
    rows = np.sort(ranked[place_within < quota[of_clip[ranked]]])
    return table["clip_id"].astype(str).iloc[rows].tolist()
