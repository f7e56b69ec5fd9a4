"""Taking the head's motion out: each frame is moved onto the onset by a shift, a rotation and a scale.

Corners are followed from the onset to the frame and a similarity is fitted to them robustly, so that the few that the
expression moves do not count. What they leave is then fitted to the dense flow between the two, again robustly: smooth
noisy skin has few good corners and thousands of fair ones. On drawn faces at 256 px with sensor noise, JPEG and
expressions this leaves .024 px (in the median), corners alone .06 px.

References
----------
.. [1] B. D. Lucas, T. Kanade: An Iterative Image Registration Technique with an Application to
   Stereo Vision. IJCAI 1981.
.. [2] M. A. Fischler, R. C. Bolles: Random Sample Consensus. Communications of the ACM 24(6), 1981.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medn_lab.data.flow import SMALLEST_SIDE, half_resolution_flow
from medn_lab.data.opencv import FROM_NOTHING, cv2

FEWEST_CORNERS = 12
"""With fewer followed corners a fit says nothing, and the frame is left as it is."""

CORNERS_SIDE = 128
"""Pixels; the spacing of corners is scaled from this size."""

MOST_POINTS = 4000
"""Points of the dense flow that the refinement uses."""

REFINEMENTS = 8
"""Rounds of reweighting; the fit no longer changes after about six."""


@dataclass(frozen=True, eq=False, repr=False)
class Registration:
    """Where a frame's points lie in the onset frame.

    Attributes
    ----------
    matrix : (2, 3) float64
        Takes (x, y, 1) in the frame to (x, y) in the onset, in pixels.
    corners : int
        How many were followed.
    inliers : int
        How many of them agree with the matrix.
    residual : float
        Median distance of the inlying corners, in pixels; NaN where nothing was fitted.

    Examples
    --------
    >>> onset = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8), (0, 0), 2)
    >>> found = register(np.roll(onset, 3, axis=1), onset=onset)
    >>> found.matrix.round(1).tolist(), found.residual < 0.1
    ([[1.0, 0.0, -3.0], [-0.0, 1.0, 0.0]], True)
    """

    matrix: np.ndarray
    corners: int
    inliers: int
    residual: float

    def __repr__(self) -> str:
        (a, b, x), _ = self.matrix
        turn, scale = np.degrees(np.arctan2(-b, a)), np.hypot(a, b)
        return (
            f"Registration: turn {turn:.2f} degrees and scale {scale:.4f} about the upper left corner, then shift "
            f"({x:.2f}, {self.matrix[1, 2]:.2f}) px; {self.inliers} of {self.corners} corners, "
            f"residual {self.residual:.3f} px"
        )

    @property
    def found(self) -> bool:
        """False where there was too little to follow; the matrix is then the identity."""
        return self.inliers > 0

    def warp(self, image: np.ndarray) -> np.ndarray:
        """The frame moved onto the onset, same shape and type; its edge is repeated where it ends."""
        height, width = image.shape[:2]
        return cv2.warpAffine(
            image, self.matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )


def register(
    frame: np.ndarray, *, onset: np.ndarray, mask: np.ndarray | None = None, refine: bool = True
) -> Registration:
    """How a frame must be moved to lie on the onset frame.

    Parameters
    ----------
    frame, onset : (h, w) or (h, w, 3) uint8
        Grey or RGB, of one shape.
    mask : (h, w) bool or float, optional
        Where the onset may be looked at: the face, without the background behind it.
    refine : bool
        Whether the fit to the corners is followed by one to the dense flow; a few ms at 256 px.

    Returns
    -------
    Registration
        ``register(frame, onset=onset).warp(frame)`` is the frame on the onset. Where fewer than 12 corners can be
        followed its matrix is the identity and ``found`` is False.

    Raises
    ------
    ValueError
        If the shapes differ.

    See Also
    --------
    optical_flow : what is left to see afterwards.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.float32)
    >>> onset = cv2.GaussianBlur(noise, (0, 0), 2).astype(np.uint8)
    >>> register(np.roll(onset, 3, axis=1), onset=onset)
    Registration: turn ...0.00 degrees and scale ... then shift (-3.00, ...) px; ... corners, residual 0.00... px
    """
    if frame.shape != onset.shape:
        raise ValueError(f"the frame is {frame.shape} and the onset {onset.shape}; both must have one shape")
    grey, still = (image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frame, onset))
    where = np.ones(still.shape, np.uint8) if mask is None else (np.asarray(mask) > 0.5).astype(np.uint8)
    spacing = max(2.0, 3.0 * max(still.shape) / CORNERS_SIDE)
    corners = cv2.goodFeaturesToTrack(still, 400, 0.005, spacing, mask=where)
    if corners is None or len(corners) < FEWEST_CORNERS:
        return _nothing(0 if corners is None else len(corners))
    start, end = _followed(still, grey, corners)
    if len(start) < FEWEST_CORNERS:
        return _nothing(len(start))
    cv2.setRNGSeed(0)  # RANSAC draws from OpenCV's generator: the same frames must give the same matrix
    threshold = 0.15 * max(1.0, max(still.shape) / CORNERS_SIDE)
    matrix, chosen = cv2.estimateAffinePartial2D(
        end, start, method=cv2.RANSAC, ransacReprojThreshold=threshold, maxIters=2000, confidence=0.999, refineIters=20
    )
    if matrix is None or chosen.sum() < FEWEST_CORNERS:
        return _nothing(len(start))
    inside = chosen.ravel().astype(bool)
    left = np.linalg.norm(end[inside] @ matrix[:, :2].T + matrix[:, 2] - start[inside], axis=1)
    if refine and min(still.shape) >= SMALLEST_SIDE:
        matrix = _refined(matrix, grey, still, where)
    return Registration(matrix, len(start), int(inside.sum()), float(np.median(left)))


def registration_error(registration: Registration | None, *, planted: np.ndarray, mask: np.ndarray) -> float:
    """How far the face's points are from where they should be, where the head's motion is known.

    Parameters
    ----------
    registration : Registration or None
        What was found; None leaves the frame as it came.
    planted : (2, 3) array
        How the head was moved: takes (x, y, 1) in the onset to (x, y) in the frame.
    mask : (h, w) bool or float
        Where the face is in the onset.

    Returns
    -------
    float
        Mean distance over the face in pixels, at least 0; 0 is a head that has not moved.

    Raises
    ------
    ValueError
        If the mask is empty.

    Examples
    --------
    >>> three_right = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    >>> registration_error(None, planted=three_right, mask=np.ones((8, 8)))
    3.0
    """
    row, column = np.nonzero(np.asarray(mask) > 0.5)
    if not len(row):
        raise ValueError("the mask is empty: there is no face whose points could be compared")
    points = np.column_stack([column, row]).astype(float)
    moved = points @ planted[:, :2].T + planted[:, 2]
    matrix = np.eye(2, 3) if registration is None else registration.matrix
    return float(np.linalg.norm(moved @ matrix[:, :2].T + matrix[:, 2] - points, axis=1).mean())


def _nothing(corners: int) -> Registration:
    return Registration(np.eye(2, 3), corners, 0, float("nan"))


def _refined(matrix: np.ndarray, grey: np.ndarray, still: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The matrix after a similarity has been fitted to the flow that it leaves, by reweighted least squares."""
    height, width = still.shape
    moved = cv2.warpAffine(grey, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    flow = half_resolution_flow(still, moved)
    soft = cv2.GaussianBlur(still, (0, 0), 1.5)
    slope = np.hypot(cv2.Scharr(soft, cv2.CV_32F, 1, 0), cv2.Scharr(soft, cv2.CV_32F, 0, 1)) / 16.0
    row, column = np.nonzero((slope > 2.0) & (where > 0))  # flow is a guess where the picture is flat
    if len(row) < 4 * FEWEST_CORNERS:
        return matrix
    thin = slice(None, None, max(1, len(row) // MOST_POINTS))
    row, column = row[thin], column[thin]
    x, y = column - (width - 1) / 2.0, row - (height - 1) / 2.0
    one, none = np.ones_like(x), np.zeros_like(x)
    # A small turn and growth move a point by (a x - b y + s, b x + a y + t); rows of x come first, then rows of y.
    design = np.concatenate([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
    target = flow[row, column].astype(np.float64).T.ravel()
    trust = np.minimum(slope[row, column], 20.0).astype(np.float64)
    weight = trust
    for _ in range(REFINEMENTS):
        weighted = design * np.tile(weight, 2)[:, None]
        a, b, s, t = np.linalg.solve(weighted.T @ design, weighted.T @ target)
        left = np.hypot(*(target - design @ (a, b, s, t)).reshape(2, -1))
        spread = 1.4826 * np.median(left) + 1e-6
        weight = trust * np.clip(1.0 - (left / (3.0 * spread)) ** 2, 0.0, 1.0) ** 2  # Tukey: expressions do not count
    if np.hypot(s, t) > 0.02 * width:
        return matrix  # corners were right, and the flow was lost in something else
    centre = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    turn = np.array([[1.0 + a, -b], [b, 1.0 + a]])
    there = np.column_stack([turn, centre - turn @ centre + (s, t)])
    back = cv2.invertAffineTransform(there)
    return np.column_stack([back[:, :2] @ matrix[:, :2], back[:, :2] @ matrix[:, 2] + back[:, 2]])


def _followed(still: np.ndarray, grey: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners that are found in the frame and again on the way back, (k, 2) in the onset and in the frame."""
    window = max(9, round(11 * max(still.shape) / CORNERS_SIDE)) | 1
    settings: dict[str, Any] = {
        "winSize": (window, window),
        "maxLevel": 3,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 0.003),
    }
    there, found, _ = cv2.calcOpticalFlowPyrLK(still, grey, corners, FROM_NOTHING, **settings)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, still, there, FROM_NOTHING, **settings)
    error = np.linalg.norm((back - corners).reshape(-1, 2), axis=1)
    good = found.ravel().astype(bool) & returned.ravel().astype(bool) & (error < 0.1 * window / 11 * 2)
    return corners.reshape(-1, 2)[good].astype(np.float64), there.reshape(-1, 2)[good].astype(np.float64)
