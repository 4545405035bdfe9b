"""Where the face is in a portrait: for boxes around it, and for pictures of the face alone."""

EYES = 0.48  # how far down the picture they are
HEIGHT, WIDTH = 0.24, 0.3  # at most so much of the picture is a face unit, half a face's width
HALF, ABOVE = 1.3, 0.8  # half a face's box in face units, and how much of that half is above the eyes


def face_unit(width: int, height: int) -> float:
    """In pixels, for the average person."""
    return min(HEIGHT * height, WIDTH * width)


def face_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the average face with a margin."""
    half = round(HALF * face_unit(width, height))
    left, top = width // 2 - half, round(EYES * height) - round(ABOVE * half)
    return left, top, left + 2 * half, top + 2 * half


def around(side: int) -> int:
    """The side of the square portrait in which the face's box is that large."""
    return round(side / (2 * HALF * HEIGHT))
