"""Who and how a face is, where its parts are, and the 55 motion-capture markers that ride on them.

Lengths are in face units: half the face width across and alike down, the origin between the eyes,
x to the right of the picture and y downwards. Only the markers are in millimetres, with y upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sin, tanh

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

Plane = npt.NDArray[np.floating]  # 32 bits wide wherever a frame is drawn
Point = tuple[float, float]
Colour = tuple[float, float, float]

SKINS: tuple[Colour, ...] = (
    (248, 216, 198), (236, 194, 164), (214, 166, 130), (178, 126, 92), (132, 90, 66), (104, 70, 54)
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (30, 26, 28), (62, 42, 32), (104, 68, 42), (160, 160, 162), (206, 166, 104), (146, 70, 40)
)  # fmt: skip
IRISES: tuple[Colour, ...] = ((62, 40, 26), (92, 62, 34), (84, 104, 66), (82, 118, 150))
STYLES = ("cropped", "short", "swept", "long", "curly", "receding")

MILLIMETRES = 72.0  # half of a face's width
DEPTH_ORIGIN = 0.45  # the head's centre lies this far behind the face units' plane z = 0

# The markers of IEMOCAP (Busso et al., 2008), in the order of its files.
GROUPS: dict[str, tuple[str, ...]] = {
    "chin": ("CH1", "CH2", "CH3"),
    "forehead": ("FH1", "FH2", "FH3"),
    "left cheek": tuple(f"LC{number}" for number in range(1, 9)),
    "right cheek": tuple(f"RC{number}" for number in range(1, 9)),
    "eyelids": ("LLID", "RLID"),
    "head": ("MH",),
    "nose": ("MNOSE", "LNSTRL", "TNOSE", "RNSTRL"),
    "left under-brow": tuple(f"LBM{number}" for number in range(4)),
    "right under-brow": tuple(f"RBM{number}" for number in range(4)),
    "left brow": tuple(f"LBRO{number}" for number in range(1, 5)),
    "right brow": tuple(f"RBRO{number}" for number in range(1, 5)),
    "mouth": tuple(f"Mou{number}" for number in range(1, 9)),
    "ears": ("LHD", "RHD"),
}
NAMES: tuple[str, ...] = tuple(name for group in GROUPS.values() for name in group)

OUTLINE = ((0, -1.5), (0.5, -1.36), (0.85, -0.85), (0.97, -0.3), (1.0, 0.1), (0.95, 0.55), (0.83, 0.92),
           (0.62, 1.24), (0.33, 1.48), (0, 1.57))  # fmt: skip
# (x, y, spread across, spread down, height); those beside the middle are on both sides
BUMPS = (
    (0.0, 0.28, 0.10, 0.26, 0.14),  # nose ridge
    (0.0, 0.55, 0.12, 0.12, 0.20),  # nose tip
    (0.17, 0.61, 0.07, 0.07, 0.10),  # nostril wings
    (0.43, 0.00, 0.24, 0.14, -0.12),  # eye sockets
    (0.40, -0.30, 0.34, 0.10, 0.05),  # brow ridges
    (0.60, 0.42, 0.22, 0.20, 0.07),  # cheekbones
    (0.0, 0.95, 0.36, 0.20, 0.09),  # muzzle
    (0.0, 0.78, 0.03, 0.07, -0.02),  # philtrum
    (0.0, 1.19, 0.24, 0.05, -0.04),  # crease below the lips
    (0.0, 1.40, 0.20, 0.12, 0.07),  # chin
)


def colour(value: npt.ArrayLike) -> Colour:
    """Clipped to what a picture can hold."""
    red, green, blue = np.clip(value, 0, 255).tolist()
    return red, green, blue


def tint(base: Colour, factor: float) -> Colour:
    """Darker below one, brighter above."""
    return colour(np.multiply(base, factor))


def bell(value: Plane, width: float) -> Plane:
    """One at zero, falling off on both sides."""
    return np.asarray(np.exp(-((value / width) ** 2)))


def ramp(value: Plane, low: float, high: float) -> Plane:
    """Zero at low and before, one at high and beyond."""
    return np.asarray(np.clip((value - low) * (1 / (high - low)), 0, 1))


@dataclass(frozen=True)
class Expression:
    """Zero is a neutral face; about -1 to 1 in use, beyond that it saturates."""

    smile: float
    mouth: float
    brow_height: float
    brow_slant: float
    eyes: float


@dataclass(frozen=True)
class Appearance:
    """Who it is: shapes are factors around one or offsets in face units, colours are RGB."""

    width: float
    length: float
    jaw: float
    skin: Colour
    hair: Colour
    style: str
    hairline: float
    eye_spacing: float
    eye_size: float
    eye_tilt: float
    iris: Colour
    brow_thickness: float
    brow_height: float
    brow_arch: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_height: float
    lip_fullness: float
    beard: float
    glasses: bool
    clothes: Colour
    background: Colour
    light: float
    phase: float
    texture: int

    @classmethod
    def of(cls, rng: np.random.Generator) -> Appearance:
        tone = rng.uniform(0, len(SKINS) - 1)
        fair = tone < 2.5
        skin = [np.interp(tone, range(len(SKINS)), channel) for channel in zip(*SKINS, strict=True)]
        hair = np.array(HAIRS[rng.integers(6 if fair else 4)])
        style = STYLES[rng.integers(len(STYLES))]
        return cls(
            width=rng.uniform(0.97, 1.14),
            length=rng.uniform(0.95, 1.06),
            jaw=rng.uniform(-1, 1),
            skin=colour(skin * rng.uniform(0.96, 1.04, 3)),
            hair=colour(hair * rng.uniform(0.85, 1.15)),
            style=style,
            hairline=rng.uniform(-0.08, 0.1),
            eye_spacing=rng.uniform(0.93, 1.08),
            eye_size=rng.uniform(0.9, 1.15),
            eye_tilt=rng.uniform(-0.03, 0.05),
            iris=IRISES[rng.integers(4 if fair else 2)],
            brow_thickness=rng.uniform(0.6, 1.5),
            brow_height=rng.uniform(-0.03, 0.04),
            brow_arch=rng.uniform(0.02, 0.09),
            nose_width=rng.uniform(0.8, 1.3),
            nose_length=rng.uniform(0.92, 1.07),
            mouth_width=rng.uniform(0.88, 1.14),
            mouth_height=rng.uniform(-0.03, 0.04),
            lip_fullness=rng.uniform(0.7, 1.15),
            beard=rng.uniform(0.25, 0.7) if style != "long" and rng.random() < 0.35 else 0.0,
            glasses=bool(rng.random() < 0.2),
            clothes=colour(rng.uniform(40, 215, 3)),
            background=colour(rng.uniform(95, 205) + rng.uniform(-25, 25, 3)),
            light=rng.uniform(-0.45, 0.45),
            phase=rng.random(),
            texture=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Pose:
    """Where the movable parts are at one moment, before the head turns and the jaw drops."""

    smile: float
    frown: float
    worry: float
    brow_inner: Point
    brow_outer: Point
    eye: Point
    eye_width: float
    lid_upper: float
    lid_lower: float
    mouth_middle: float
    mouth_width: float
    corner: float
    gap: float
    lips: float
    jaw: float
    shift: Point
    turn: Point
    roll: float

    @classmethod
    def of(cls, appearance: Appearance, expression: Expression, speaking: float, moment: float) -> Pose:
        smile, mouth = tanh(expression.smile), tanh(expression.mouth)
        height, slant = tanh(expression.brow_height), tanh(expression.brow_slant)
        voice = min(max(speaking, 0.0), 1.0)
        brow = -0.26 - appearance.brow_height - 0.10 * height
        gap = 0.32 * tanh((0.09 * exp(1.6 * mouth) + 0.14 * voice) / 0.32)
        middle = 1.0 + appearance.mouth_height
        lid = _lid(appearance.phase, moment)
        openness = appearance.eye_size * exp(0.95 * tanh(expression.eyes))
        wave = [sin(2 * pi * (rate * moment + 5 * rate * appearance.phase)) for rate in (0.19, 0.31, 0.13, 0.23, 0.4)]
        return cls(
            smile=smile,
            frown=max(-slant, 0.0),
            worry=max(0.5 * slant, 0.0) + max(height, 0.0),
            brow_inner=(0.17 + 0.03 * slant, brow - 0.13 * slant),
            brow_outer=(0.77, brow + 0.02 + 0.08 * slant),
            eye=(0.44 * appearance.eye_spacing, 0.0),
            eye_width=0.19 * appearance.eye_size,
            lid_upper=-0.085 * openness * lid + 0.03 * (1 - lid),
            lid_lower=0.05 * openness**0.6,
            mouth_middle=middle + 0.02 * smile,
            mouth_width=0.35 * appearance.mouth_width * (1.05 + 0.2 * smile),
            corner=middle - 0.03 - 0.17 * smile + 0.4 * gap,
            gap=gap,
            lips=appearance.lip_fullness * (1 + 0.4 * min(mouth, 0.0)),
            jaw=0.6 * gap,
            shift=(0.03 * wave[0] + 0.012 * wave[1], 0.02 * wave[2]),
            turn=(0.06 * wave[3], 0.03 * wave[4]),
            roll=0.035 * wave[1],
        )


def _lid(phase: float, moment: float) -> float:
    """1 for a lid at its resting height, 0 in the middle of a blink."""
    period = 3 + 2 * phase
    since = (moment + phase * period) % period
    return 1 - (sin(pi * since / 0.2) ** 2 if since < 0.2 else 0.0)


def outline(angle: Plane, jaw: float) -> Plane:
    """How far the head reaches from (0, 0.1), by the angle from straight up."""
    x, y = np.array(OUTLINE).T
    x = x + np.interp(y, (0.5, 1.0, 1.4, 1.57), (0, 0.05, 0.05, 0)) * jaw
    spline = CubicSpline(np.arctan2(x, 0.1 - y), np.hypot(x, y - 0.1), bc_type="clamped")
    return np.asarray(spline(np.abs(angle)), np.float32)


def relief(x: Plane, y: Plane) -> Plane:
    """How far the face stands out at each place."""
    depth = 0.95 * np.sqrt(np.clip(1 - (x / 1.12) ** 2 - ((y - 0.05) / 1.75) ** 2, 0, None))
    for at_x, at_y, across, down, height in BUMPS:
        depth = depth + height * np.exp(-(((np.abs(x) - at_x) / across) ** 2) - ((y - at_y) / down) ** 2)
    return np.asarray(depth, np.float32)


def jaw_share(x: Plane, y: Plane) -> Plane:
    """How much of the jaw's drop each place takes part in."""
    along = np.clip((y - 0.82) / 0.68, 0, 1) * np.clip((2.15 - y) / 0.5, 0, 1)
    return np.asarray(along * along * (3 - 2 * along) * np.clip(1.9 - 1.2 * np.abs(x), 0, 1), np.float32)


def _places(pose: Pose) -> list[Point]:
    """One place a name, in the order of NAMES; the person's left is on the picture's right."""
    lift = -0.09 * pose.smile
    cheek = [(0.80, 0.12), (0.86, 0.45), (0.78, 0.85), (0.62, 0.30 + lift / 2), (0.62, 0.58 + lift)]
    cheek += [(0.36, 0.40 + lift / 2), (0.40, 0.66 + lift), (0.58, 0.90 + lift / 2)]
    (inner_x, inner_y), (outer_x, outer_y) = pose.brow_inner, pose.brow_outer
    along = (0.0, 0.33, 0.67, 1.0)
    brow = [(inner_x + (outer_x - inner_x) * part, inner_y + (outer_y - inner_y) * part) for part in along]
    under = [(x, y + 0.10 if pose.eye[0] - x > 0.1 else y + 0.08) for x, y in brow]
    forehead = [(x, -0.62 - 0.35 * (-0.31 - brow_y)) for x, brow_y in ((0.42, brow[1][1]), (0.0, inner_y))]
    upper, lower = pose.mouth_middle - 0.15 * pose.gap - 0.1, pose.mouth_middle + 0.85 * pose.gap + 0.12
    half = 0.5 * pose.mouth_width
    raised, lowered = 0.7 * upper + 0.3 * pose.corner, 0.7 * lower + 0.3 * pose.corner
    mouth = [(-pose.mouth_width, pose.corner), (-half, raised), (0.0, upper), (half, raised)]
    mouth += [(pose.mouth_width, pose.corner), (half, lowered), (0.0, lower), (-half, lowered)]

    def left_then_right(points: list[Point]) -> list[Point]:
        return points + [(-x, y) for x, y in points]

    return [
        *[(-0.25, 1.40), (0.0, 1.45), (0.25, 1.40)],
        *[(-0.42, forehead[0][1]), forehead[1], forehead[0]],
        *left_then_right(cheek),
        *left_then_right([(pose.eye[0], pose.lid_upper - 0.02)]),
        (0.0, -0.85),
        *[(0.0, 0.10), (0.19, 0.60), (0.0, 0.53), (-0.19, 0.60)],
        *left_then_right(under),
        *left_then_right(brow),
        *mouth,
        *left_then_right([(0.98, -0.35)]),
    ]


def markers(appearance: Appearance, expression: Expression, speaking: float, moment: float) -> npt.NDArray[np.float32]:
    """[55, 3] in millimetres about the head's centre, as NAMES order them: x to the right, y up, z forward."""
    pose = Pose.of(appearance, expression, speaking, moment)
    x, y = np.array(_places(pose)).T
    z = relief(x, y)
    y = y + pose.jaw * jaw_share(x, y)
    x = x * appearance.width + pose.turn[0] * z + pose.shift[0] - pose.roll * (y - 0.3)
    y = y * appearance.length + pose.turn[1] * z + pose.shift[1] + pose.roll * x
    return np.asarray(MILLIMETRES * np.stack([x, -y, z - DEPTH_ORIGIN], axis=1), np.float32)
