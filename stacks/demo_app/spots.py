"""Where to look: places at the edge of the Mandelbrot set, and how a picture is cut into tiles."""

SPOTS = {
    "Seahorse Valley": complex(-0.743643887037151, 0.131825904205330),
    "Scepter Valley": complex(-1.25066, 0.02012),
    "Northern Antenna": complex(-0.10109636384562, 0.95628651080914),
    "Quad-Spiral Valley": complex(0.274, 0.482),
}

COLUMNS, ROWS = 24, 15  # tiles of a picture
TILE = 20  # a tile's width and height in pixels
DEPTH = 14  # pictures of a journey; then it starts anew


def span_of(picture: int) -> float:
    """Return the width of a picture in the complex plane."""
    return 3.2 * 0.55 ** (picture % DEPTH)
