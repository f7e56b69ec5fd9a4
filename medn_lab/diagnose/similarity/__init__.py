"""Dependence between two features of the same clips: one measure a file, numpy alone.

Every measure is a pure function of ``(x, y)``. Those that estimate without bias (``linear_cka``,
``distance_correlation``, ``hsic`` and the mean square of ``branch_correlation``) are around 0 for independent features
at any n and may fall below it; the others have a level that grows with the widths and falls with n, and mean nothing
without ``permutation_test``. All are NaN where a feature is constant
(``records.is_constant``): a dead branch is not a decoupled one.
"""
