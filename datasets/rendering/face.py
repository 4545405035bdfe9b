"""A procedural talking face: five expression factors, one person, one camera.

Lengths are in face units (see `markers`). What never changes is drawn once. Each frame paints brows, eyes and mouth
on a copy of the part of the picture that moves, the sheet, then bends the sheet: the head sways and the jaw drops.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from datasets.rendering import markers
from datasets.rendering.framing import EYES, face_unit
from datasets.rendering.markers import Appearance, Colour, Expression, Plane, Pose, bell, colour, ramp, tint

__all__ = ["Appearance", "Expression", "Portrait"]

BOXES = ((0.0, 0.95, -0.85, 0.05), (0.15, 0.75, -0.3, 0.25), (0.15, 0.95, 0.25, 1.3), (0.0, 0.6, 0.72, 1.55))
VOLUMES = {"cropped": 0.03, "short": 0.09, "swept": 0.13, "long": 0.14, "curly": 0.24, "receding": 0.05}
STRIP = 24  # rows that are moved at once, few enough for the processor's cache
SHEET = (1.5, -1.95, 2.15)  # half width, top and bottom of the part of the picture that moves


def _below(distance: Plane, softness: float) -> Plane:
    """One where the distance is negative, with an edge as wide as the softness."""
    return np.asarray(np.clip(0.5 - distance * (1 / softness), 0, 1))


def _mix(picture: Plane, alpha: Plane, shade: Colour | Plane) -> None:
    picture += alpha[..., None] * (np.asarray(shade, np.float32) - picture)


def _grain(shape: tuple[int, int], spread: float, seed: int) -> Plane:
    """Static noise of unit strength."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), spread, mode="wrap")
    return np.asarray(noise / noise.std(), np.float32)


class _Head:
    """The head without its movable parts, drawn on the part of the scene that it covers."""

    def __init__(self, appearance: Appearance, unit: float, grid: tuple[Plane, Plane], scene: Plane) -> None:
        self._who, self._pixel = appearance, 1 / unit
        self.x, self.y = grid
        self._angle = np.arctan2(self.x, 0.1 - self.y)
        self._reach = np.hypot(self.x, self.y - 0.1)
        self._edge = markers.outline(self._angle, appearance.jaw)
        picture, face = self._skin()
        self._shave(picture)
        if appearance.glasses:
            _mix(picture, self._glasses(), (34, 30, 32))
        self.picture = scene + self._comb(picture, face)[..., None] * (picture - scene)

    def _skin(self) -> tuple[Plane, Plane]:
        who, x, y, side = self._who, self.x, self.y, np.abs(self.x)
        nose_x, nose_y = side / who.nose_width, y / who.nose_length
        slope_y, slope_x = np.gradient(markers.relief(x, nose_y), self._pixel)
        facing = (0.8 - who.light * slope_x + 0.5 * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
        light = 0.42 + 0.68 * np.clip(facing, -0.1, 1)
        light -= 0.16 * bell(side - 0.36, 0.22) * bell(y + 0.06, 0.13)
        light -= 0.14 * bell(nose_x - 0.15, 0.06) * bell(nose_y - 0.25, 0.3)
        light -= 0.20 * bell(nose_x - 0.24, 0.05) * bell(nose_y - 0.60, 0.08)
        light += 0.16 * bell(x - 0.03 * who.light, 0.05) * bell(nose_y - 0.3, 0.28)
        light += 0.10 * bell(x, 0.08) * bell(nose_y - 0.53, 0.06)
        light += 0.08 * bell(side - 0.6, 0.2) * bell(y - 0.35, 0.14)
        light -= 0.22 * bell(x, 0.2 * who.nose_width) * bell(nose_y - 0.71, 0.04)
        light -= 0.22 * ramp(self._reach / self._edge, 0.8, 1.05) * ramp(y, 0.2, 1.2)
        for seed, spread in enumerate((0.6, 0.06 / self._pixel)):
            light *= 1 + 0.012 * _grain(x.shape, spread, who.texture + seed)
        picture = light[..., None] * np.asarray(who.skin, np.float32)
        blush = 0.3 * bell(side - 0.58, 0.22) * bell(y - 0.5, 0.2)
        _mix(picture, blush, picture * np.array((1.0, 0.82, 0.80), np.float32))
        _mix(picture, 0.8 * bell(nose_x - 0.10, 0.055) * bell(nose_y - 0.665, 0.032), picture * 0.25)
        ear = _below(np.hypot((side - 1.0) / 0.13, (y - 0.18) / 0.30) * 0.13 - 0.13, self._pixel)
        face = _below(self._reach - self._edge, self._pixel)
        _mix(picture, ear * (1 - face), np.asarray(who.skin, np.float32) * 0.72)
        return picture, np.maximum(ear, face)

    def _shave(self, picture: Plane) -> None:
        """The beard, as dense as the person wears it."""
        who, side, y = self._who, np.abs(self.x), self.y
        jaw = ramp(y - 0.95 + 0.75 * ramp(side, 0.45, 0.95), -0.08, 0.12)
        moustache = ramp(y, 0.70, 0.76) * ramp(side, 0.52, 0.42)
        lips = ramp(np.hypot(side / 0.46, (y - 1.0) / 0.24), 1.1, 0.8)
        hairs = np.maximum(jaw, moustache) * (1 - lips) * (1 + 0.15 * _grain(y.shape, 0.7, who.texture + 2))
        _mix(picture, np.clip(who.beard * hairs, 0, 1), who.hair)

    def _comb(self, picture: Plane, face: Plane) -> Plane:
        """The hair; gives the whole head's alpha."""
        who, x, y, side = self._who, self.x, self.y, np.abs(self.x)
        volume = VOLUMES[who.style] + (0.08 if who.style == "long" else 0) * ramp(y, -0.5, 0.5)
        wave = 0.035 * np.sin(self._angle * 19 + who.phase * 6) if who.style == "curly" else 0
        low = {"long": 1.7, "curly": 0.6}.get(who.style, 0.12)
        outer = _below(self._reach - self._edge * (1 + volume + wave), 2 * self._pixel)
        top = {"swept": -0.80, "receding": -1.22}.get(who.style, -0.98) + who.hairline
        sweep = 0.22 * x * (1 if who.phase < 0.5 else -1) * (who.style in ("swept", "long"))
        window = (side / 0.94) ** 3 + (np.abs(y - 0.5) / (0.5 - top - sweep)) ** 3
        tips = y + 0.03 * _grain(y.shape, 1.5, who.texture + 3)
        hair = outer * ramp(window, 1.0, 1.12) * ramp(tips, low, low - 0.15)
        flow = _grain((1, 1024), 2.0, who.texture + 4)[0]
        fan = np.arctan2(x, 1.2 - np.minimum(y, 0.6))
        shine = 0.92 + 0.14 * np.interp(fan + 0.06 * self._reach, np.linspace(-4, 4, 1024), flow)
        shine += -0.3 * ramp(side, 0.7, 1.2) + 0.3 * bell(self._reach / self._edge - 0.9 + 0.1 * who.light * x, 0.1)
        _mix(picture, 0.25 * ramp(window, 0.8, 1.05) * ramp(y, 0.2, -0.2), picture * 0.5)
        alpha = np.maximum(face, hair)
        _mix(picture, hair / np.maximum(alpha, 1e-3), shine[..., None] * np.asarray(who.hair, np.float32))
        return alpha

    def _glasses(self) -> Plane:
        side, y = np.abs(self.x), self.y
        ring = (np.abs((side - 0.44) / 0.31) ** 3 + np.abs((y - 0.03) / 0.25) ** 3) ** np.float32(1 / 3) - 1
        bars = _below(np.abs(y + 0.025) - 0.02, self._pixel) * ((side < 0.13) | (side > 0.75))
        return np.asarray(0.85 * np.maximum(_below(np.abs(ring) * 0.27 - 0.02, 1.5 * self._pixel), bars))


class _Overlay:
    """Paint for a part of the right half of the head, mirrored on the left one: [RGB and what still shows, ...]."""

    def __init__(self, head: _Head, box: tuple[float, float, float, float], unit: float, seed: int) -> None:
        left, right, top, bottom = box
        middle = head.x.shape[1] // 2
        first, last = middle + np.searchsorted(head.x[0, middle:], (left, right))
        self._columns = slice(first, last), slice(2 * middle - 1 - first, 2 * middle - 1 - last, -1)
        self._rows = slice(*np.searchsorted(head.y[:, 0], (top, bottom)))
        part = self._rows, self._columns[0]
        self.x, self.y = head.x[part].copy(), head.y[part].copy()
        self._unit, self.hairs = unit, np.clip(0.88 + 0.1 * _grain(self.x.shape, 0.7, seed), 0, 1)
        self._paint = np.stack([*np.zeros((3, *self.x.shape), np.float32), np.ones_like(self.x)])

    def paint(self, alpha: Plane, shade: Colour) -> None:
        self._paint *= 1 - alpha
        for plane, level in zip(self._paint, shade, strict=False):
            plane += alpha * level

    def below(self, distance: Plane, softness: float = 1.0) -> Plane:
        return _below(distance, softness / self._unit)

    def unload(self, picture: Plane) -> None:
        for columns in self._columns:
            for channel in range(3):
                part = picture[self._rows, columns, channel]
                part *= self._paint[3]
                part += self._paint[channel]
        self._paint[:3], self._paint[3] = 0, 1


def _paint_brow(overlay: _Overlay, who: Appearance, pose: Pose) -> None:
    x, y = overlay.x, overlay.y
    (inner_x, inner_y), (outer_x, outer_y) = pose.brow_inner, pose.brow_outer
    along = (x - inner_x) / (outer_x - inner_x)
    inside = np.clip(along, 0, 1)
    middle = inner_y + (outer_y - inner_y) * inside - who.brow_arch * np.sin(np.pi * inside**1.3)
    half = 0.055 * who.brow_thickness * (1 - 0.65 * inside**2)
    dark = tint(who.skin, 0.35)
    overlay.paint(0.3 * pose.worry * (bell(y + 0.62, 0.025) + bell(y + 0.76, 0.025)) * bell(x, 0.5), dark)
    overlay.paint(0.6 * pose.frown * bell(x - 0.075, 0.022) * bell(y + 0.27, 0.14), dark)
    overlay.paint(0.28 * bell(y - middle - 0.09, 0.06) * bell(along - 0.35, 0.5), dark)
    ends = ramp(along, -0.04, 0.06) * ramp(along, 1.03, 0.85)
    hair = colour(np.minimum(np.multiply(who.hair, 0.6), np.multiply(who.skin, 0.45)))
    overlay.paint(overlay.below(np.abs(y - middle) - half, 2.2) * ends * overlay.hairs, hair)


def _paint_eye(overlay: _Overlay, who: Appearance, pose: Pose) -> None:
    x, y = overlay.x - pose.eye[0], overlay.y - pose.eye[1]
    across = x / pose.eye_width
    bow = 1 - np.clip(across * across, 0, 1.2)
    tilt = -who.eye_tilt * across
    upper, lower = tilt + pose.lid_upper * bow, tilt + pose.lid_lower * bow
    opening = overlay.below(upper - y) * overlay.below(y - lower) * ramp(np.abs(across), 1.04, 0.98)
    near = ramp(np.abs(across), 1.25, 0.9)
    distance, dark = np.hypot(x, y + 0.012), tint(who.skin, 0.3)
    overlay.paint(opening, (232, 228, 224))
    overlay.paint(opening * overlay.below(distance - 0.088), who.iris)
    overlay.paint(opening * overlay.below(distance - 0.042), (14, 12, 12))
    overlay.paint(opening * bell(np.hypot(x - 0.03, y + 0.05), 0.022), (255, 255, 255))
    overlay.paint(0.5 * opening * ramp(y - upper, 0.06, 0.0), (40, 30, 28))
    overlay.paint(0.9 * near * bell(y - upper + 0.008, 0.024), tint(who.hair, 0.3))
    overlay.paint(0.35 * near * bell(y - upper + 0.075, 0.022), dark)
    overlay.paint(0.45 * near * bell(y - lower - 0.01, 0.02), dark)


def _paint_mouth(overlay: _Overlay, who: Appearance, pose: Pose) -> None:
    x, y = overlay.x, overlay.y
    across = x / pose.mouth_width
    bow = np.clip(1 - across * across, 0, 1)
    line = pose.mouth_middle + (pose.corner - pose.mouth_middle) * across * across
    upper, lower = line - 0.15 * pose.gap * bow, line + 0.85 * pose.gap * bow
    thickness = np.sqrt(bow) * pose.lips
    top = upper - thickness * (0.11 - 0.025 * bell(x, 0.06))
    bottom = lower + thickness * 0.14
    within = overlay.below(x - pose.mouth_width)
    dark, lip = tint(who.skin, 0.35), colour(np.multiply(who.skin, (0.44, 0.28, 0.285)) + 9)
    overlay.paint(0.35 * within * bell(y - bottom - 0.05, 0.05), dark)
    lips = within * overlay.below(top - y, 1.5) * overlay.below(y - bottom, 1.5)
    overlay.paint(0.92 * lips, lip)
    overlay.paint(0.3 * lips * ramp(lower - y, -0.02, 0.06), tint(lip, 0.55))
    overlay.paint(0.18 * lips * bell(y - lower - 0.055, 0.025) * bell(x, 0.2), (255, 236, 230))
    cavity = within * overlay.below(upper - y) * overlay.below(y - lower)
    overlay.paint(cavity, (56, 18, 22))
    overlay.paint(0.45 * cavity * bell(np.hypot(x / 0.2, (y - lower) / 0.09), 1.0), (160, 78, 80))
    teeth_length = min(0.06, (0.4 + 0.5 * max(pose.smile, 0.0)) * max(pose.gap - 0.06, 0.0))
    teeth = cavity * overlay.below(y - 0.5 * (line + pose.mouth_middle) + 0.15 * pose.gap - teeth_length)
    overlay.paint(0.85 * teeth * ramp(across, 1.0, 0.6), (204, 194, 180))
    overlay.paint(0.8 * within * bell(y - 0.5 * (upper + lower), 0.02) * max(1 - pose.gap / 0.1, 0.0), (60, 22, 22))
    overlay.paint(0.5 * bell(np.hypot(x - pose.mouth_width, y - pose.corner), 0.045), dark)


def _paint_folds(overlay: _Overlay, who: Appearance, pose: Pose) -> None:
    """What a smile or a sad mouth does to the cheeks."""
    x, y = overlay.x, overlay.y
    joy, grief = max(pose.smile, 0.0), max(-pose.smile, 0.0)
    dark = tint(who.skin, 0.4)
    along = (y - 0.6) / (pose.corner - 0.54)
    fold = 0.24 + (pose.mouth_width - 0.12) * np.sqrt(np.clip(along, 0, 1))
    overlay.paint(0.3 * joy * bell(np.hypot(x - 0.6, y - 0.45), 0.2), tint(who.skin, 1.12))
    overlay.paint((0.1 + 0.5 * joy) * bell(x - fold, 0.035) * ramp(along, -0.05, 0.3) * ramp(along, 1.1, 0.8), dark)
    drop = bell(x - pose.mouth_width - 0.03 - 0.25 * (y - pose.corner), 0.03)
    overlay.paint(0.4 * grief * drop * bell(y - pose.corner - 0.09, 0.08), dark)


def _scene(who: Appearance, x: Plane, y: Plane, pixel: float) -> Plane:
    """Everything behind the head: a wall, back hair, neck, shoulders."""
    side = np.abs(x)
    wall = 1.06 - 0.05 * y - 0.03 * x * x + 0.05 * _grain(x.shape, 0.5 / pixel, who.texture + 5)
    picture = wall[..., None] * np.asarray(who.background, np.float32)
    if who.style == "long":
        tresses = _below(side - 1.14 - 0.06 * y, 4 * pixel) * ramp(y, -0.2, 0.1)
        _mix(picture, tresses, tint(who.hair, 0.75))
    neck = _below(side - 0.6 - 0.35 * np.clip(y - 1.8, 0, 1) ** 2, 4 * pixel)
    _mix(picture, neck * ramp(y, 0.8, 1.0), tint(who.skin, 0.8))
    _mix(picture, 0.55 * neck * bell(y - 1.45, 0.36), tint(who.skin, 0.3))
    collar = 2.05 - 0.22 * np.cos(np.clip(side, 0, 1.5)) + 0.5 * who.phase * np.clip(0.6 - side, 0, 1)
    shoulders = 1.78 + 0.1 * side + 0.13 * np.clip(side - 0.9, 0, None) ** 2
    cloth = _below(np.maximum(collar, shoulders) - y, 4 * pixel)
    shade = 1 + 0.04 * _grain(x.shape, 1.0, who.texture + 6)
    _mix(picture, cloth, shade[..., None] * np.asarray(who.clothes, np.float32))
    return picture


PAINTERS = (_paint_brow, _paint_eye, _paint_folds, _paint_mouth)  # one for each of BOXES


class Portrait:
    """One person before a camera, of one picture size."""

    def __init__(self, appearance: Appearance, width: int, height: int) -> None:
        self._who = appearance
        unit = face_unit(width, height)
        scale = unit * appearance.width, unit * appearance.length
        eyes = width // 2, round(EYES * height)
        across, down = (np.arange(count, dtype=np.float32) + 0.5 for count in (width, height))
        x, y = np.meshgrid((across - eyes[0]) / scale[0], (down - eyes[1]) / scale[1])
        scene = _scene(appearance, x, y, 1 / unit)
        self._still = np.clip(scene, 0, 255).astype(np.uint8)
        half = min(round(SHEET[0] * scale[0]), eyes[0], width - eyes[0])
        self._box = slice(*np.searchsorted(y[:, 0], SHEET[1:])), slice(eyes[0] - half, eyes[0] + half)
        x, y = x[self._box], y[self._box]
        head = _Head(appearance, unit, (x, y), scene[self._box])
        self._sheet = np.zeros((*x.shape, 4), np.float32)  # the fourth lets a pixel travel as one number of 16 bytes
        self._sheet[..., :3] = head.picture
        self._overlays = [_Overlay(head, box, unit, appearance.texture + 7) for box in BOXES]
        loose = ramp(np.abs(x), SHEET[0], 1.2) * ramp(y, SHEET[1], -1.6) * ramp(y, SHEET[2], 1.6)
        rows, columns = np.indices(x.shape, np.float32)
        across, down = loose * scale[0], loose * scale[1]  # how many pixels a face unit moves each place
        self._across = columns, across, markers.relief(x, y) * across, (y - 0.3) * across
        self._down = rows, down, markers.relief(x, y) * down, x * down
        self._drop = markers.jaw_share(x, y) * scale[1]

    def frame(self, expression: Expression, speaking: float, moment: float) -> npt.NDArray[np.uint8]:
        """[height, width, 3] RGB."""
        pose = Pose.of(self._who, expression, speaking, moment)
        sheet, picture = self._sheet.copy(), self._still.copy()
        for overlay, paint in zip(self._overlays, PAINTERS, strict=True):
            paint(overlay, self._who, pose)
            overlay.unload(sheet)
        for first in range(0, len(sheet), STRIP):
            rows = slice(first, first + STRIP)
            picture[self._box][rows] = self._swayed(sheet, pose, rows)
        return picture

    def _swayed(self, sheet: Plane, pose: Pose, rows: slice) -> npt.NDArray[np.uint8]:
        """Some rows of the sheet as the camera sees them, each pixel between four of the sheet."""
        height, width = sheet.shape[:2]
        start, shift, turn, tilt = (plane[rows] for plane in self._across)
        column = np.clip(start - pose.shift[0] * shift - pose.turn[0] * turn + pose.roll * tilt, 0, width - 1.01)
        start, shift, turn, tilt = (plane[rows] for plane in self._down)
        row = start - pose.shift[1] * shift - pose.turn[1] * turn - pose.roll * tilt - pose.jaw * self._drop[rows]
        row = np.clip(row, 0, height - 1.01)
        left, above = column.astype(np.intp), row.astype(np.intp)
        right_share, below_share = column - left, row - above
        pixels = sheet.view(np.complex128).reshape(-1)
        first = above * width + left
        corners = [pixels.take(first + offset, mode="clip").view(np.float32) for offset in (0, 1, width, width + 1)]
        swayed = np.empty((*first.shape, 3), np.uint8)
        for channel in range(3):
            here, right, below, across = (corner[:, channel::4] for corner in corners)
            upper = here + right_share * (right - here)
            lower = below + right_share * (across - below)
            swayed[..., channel] = np.clip(upper + below_share * (lower - upper), 0, 255)
        return swayed
