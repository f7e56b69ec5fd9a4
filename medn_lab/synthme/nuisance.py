"""What disturbs a clip, scaled by one number: head motion left by registration, light, sensor, compression, blinks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from medn_lab.records import require

RESIDUAL_PIXELS = 0.03
"""Scale of the head translation that registration leaves, per axis, in pixels of a 128 px picture: about what
``medn_lab.data.register`` was measured to leave there."""

RESIDUAL_DEGREES = 0.012
"""Scale of the head rotation that registration leaves."""

SENSOR_GREYS = 1.6
"""Standard deviation of the sensor's noise per channel, in levels of 255."""

BLINK_FRAMES = 26
"""Length of a blink at 200 frames a second."""


@dataclass(frozen=True)
class Disturbance:
    """One clip's nuisance, drawn once; each frame's share of it follows from the frame's number.

    `drift` holds head x, y (pixels at 128), angle (degrees), and the light's gain, slope and warmth, as the
    coefficients (4, 6) of slow cosines; `blink` is the frame in the middle of a blink or None; `quality` the JPEG
    quality or None.
    """

    noise: float
    drift: np.ndarray
    blink: int | None
    quality: int | None

    @classmethod
    def draw(cls, rng: np.random.Generator, *, noise: float, apex: int, offset: int) -> Disturbance:
        """Draw a clip's nuisance; the draws are the same whatever `noise` is."""
        sizes = np.array([RESIDUAL_PIXELS, RESIDUAL_PIXELS, RESIDUAL_DEGREES, 0.012, 0.012, 0.003])
        drift = noise * sizes * rng.standard_normal((4, 6)) / np.sqrt(1 + np.arange(4))[:, None] * 0.8
        blinks = rng.random() < 0.12 * noise
        middle = (apex + offset) // 2 + int(rng.integers(-2, 3))
        room = offset - apex > BLINK_FRAMES
        quality = round(100 - noise * rng.uniform(3, 9))
        return cls(noise, drift, middle if blinks and room else None, max(quality, 50) if noise > 0 else None)

    def slow(self, along: float) -> np.ndarray:
        """The six drifts at a share `along` of the clip, all 0 at its start."""
        waves = np.cos(np.pi * np.arange(1, 5) * along) - 1
        return waves @ self.drift

    def lids(self, frame: int) -> float:
        """How far a blink has closed the lids in a frame: 0 open, 1 closed."""
        if self.blink is None:
            return 0.0
        away = abs(frame - self.blink) / (BLINK_FRAMES / 2)
        return float(0.5 + 0.5 * np.cos(np.pi * away)) if away < 1 else 0.0

    def expose(self, frame: np.ndarray, along: float) -> np.ndarray:
        """Light drift on a float frame (h, w, 3) 0-255."""
        if self.noise == 0:
            return frame
        _, _, _, gain, slope, warmth = self.slow(along)
        across = np.linspace(-1, 1, frame.shape[1], dtype=np.float32)
        light = (1 + gain + slope * across)[:, None] * np.array([1 + warmth, 1, 1 - warmth])
        return frame * light.astype(np.float32)[None]

    def record(self, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Sensor noise, rounding and JPEG: a float frame becomes uint8."""
        if self.quality is None:
            return np.clip(frame + np.float32(0.5), 0, 255).astype(np.uint8)
        # The sum of two random bytes is triangular: near enough to a sensor's noise, and eight times faster drawn.
        pair = np.frombuffer(rng.bytes(2 * frame.size), np.uint8).reshape(2, *frame.shape).astype(np.float32)
        grain = (pair[0] + pair[1] - 255) * np.float32(SENSOR_GREYS * self.noise / 104.5)
        noisy = np.clip(frame + grain + np.float32(0.5), 0, 255).astype(np.uint8)
        # OpenCV keeps blue first; the order matters, for JPEG spends its bits on what it takes for luminance.
        _, code = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        told = "OpenCV cannot read the JPEG that it wrote; install opencv-python anew"
        return np.ascontiguousarray(require(cv2.imdecode(code, cv2.IMREAD_COLOR), otherwise=told)[..., ::-1])
