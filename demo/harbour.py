"""The harbour of the demo: by day with a fishing boat and a camera that stands still; at dusk with a sailing boat."""

import numpy as np
from camera import Layers, Thing, View, moved, turned, wobble
from painting import SCALE, Canvas, Colour, bricks, foliage, varied

DAY_WH = (660, 380)
DUSK_WH = (900, 420)
BOAT_SPEED = 62.0
SAIL_SPEED = 58.0


def day_scenery(seed: int = 31) -> np.ndarray:
    """A town on a hill by the sea with a lighthouse, HW3 RGB."""
    rng = np.random.default_rng(seed)
    width, height = DAY_WH
    canvas = Canvas(width, height, (112, 176, 226, 255))
    canvas.shade((0, 0, width, 140), 0.95, 1.15)
    _clouds(canvas, rng, (255, 255, 255), 120)
    for x in np.arange(0, width, 11):
        for y in np.arange(96 + 30 * np.cos(x / 130), 180, 16):
            foliage(canvas, x, y + rng.normal(0, 4), 14, 11, (104, 150, 84), rng)
    walls = ((226, 120, 90), (240, 204, 120), (236, 230, 214), (130, 170, 190), (214, 150, 150))
    for row, y in enumerate((134, 158, 186)):
        for x in np.arange(-10 + 17 * row, width - 130, 46):
            _cottage(canvas, x + rng.uniform(-4, 4), y + rng.uniform(-6, 4), walls[int(rng.integers(5))], rng)
    _lighthouse(canvas, 582, 196)
    bricks(canvas, (0, 196, width, 216), (172, 164, 150), (104, 98, 92), rng, (17, 7))
    for x in range(18, width, 58):
        canvas.rect((x, 188, x + 7, 200), (70, 60, 56), radius=2)
        canvas.ellipse(x + 30, 207, 6, 6, (40, 40, 44), (110, 110, 112), 1.6)
    _water(canvas, (0, 216, width, height), (44, 112, 146), (176, 220, 226), rng)
    for x, colour in ((70, (214, 90, 60)), (610, (240, 200, 70)), (330, (230, 100, 70))):
        canvas.ellipse(x, 352, 12, 11, colour, (240, 240, 236), 2)
        canvas.rect((x - 2, 330, x + 2, 343), (60, 60, 60))
    return canvas.rgb()


def dusk_scenery(seed: int = 47) -> np.ndarray:
    """A bay with mountains and moored boats in the evening, HW3 RGB."""
    rng = np.random.default_rng(seed)
    width, height = DUSK_WH
    canvas = Canvas(width, height, (250, 176, 110, 255))
    canvas.shade((0, 0, width, 190), 0.8, 1.06)
    _clouds(canvas, rng, (255, 214, 160), 110)
    canvas.ellipse(470, 138, 34, 34, (255, 236, 170))
    for base, rise, tint in ((190, 78, (150, 104, 130)), (196, 48, (104, 74, 106))):
        _ridge(canvas, base, rise, tint, rng)
    _water(canvas, (0, 190, width, height), (150, 98, 104), (255, 206, 140), rng)
    for x, size, hull in (
        (60, 0.9, (60, 80, 110)),
        (190, 1.1, (160, 60, 54)),
        (330, 0.95, (230, 220, 200)),
        (600, 1.05, (70, 110, 100)),
        (745, 0.9, (200, 140, 60)),
        (860, 1.1, (70, 70, 120)),
    ):
        _moored(canvas, x, 214, size, hull, rng)
    _jetty(canvas, rng)
    return canvas.rgb()


def _clouds(canvas: Canvas, rng: np.random.Generator, tint: Colour, below: float) -> None:
    layer = canvas.layer()
    width = canvas.size_wh[0] / SCALE
    for _ in range(22):
        x, y = rng.uniform(0, width), rng.uniform(4, below)
        for _ in range(10):
            at = (x + rng.normal(0, 26), y + rng.normal(0, 4))
            layer.ellipse(*at, rng.uniform(8, 22), rng.uniform(3, 8), (*varied(tint, rng, 0.05), 210))
    canvas.merge(layer, 1)


def _cottage(canvas: Canvas, x: float, y: float, wall: Colour, rng: np.random.Generator) -> None:
    width, height = rng.uniform(38, 46), rng.uniform(30, 40)
    wall = varied(wall, rng, 0.08)
    canvas.rect((x, y - height / 2, x + width, y + 16), wall)
    canvas.grain((x, y - height / 2, x + width, y + 16), 6, 0.05, int(rng.integers(1 << 30)))
    roof = varied((176, 84, 60), rng, 0.12)
    canvas.poly(
        [
            (x - 3, y - height / 2),
            (x + 8, y - height / 2 - 14),
            (x + width - 8, y - height / 2 - 14),
            (x + width + 3, y - height / 2),
        ],
        roof,
    )
    for tile in np.arange(x + 2, x + width - 2, 4.5):
        canvas.line([(tile, y - height / 2 - 1), (tile + 1.5, y - height / 2 - 13)], varied(roof, rng, 0.3), 1.4)
    canvas.rect((x + 9, y - height / 2 - 22, x + 15, y - height / 2 - 10), (150, 90, 74))
    for column in range(3):
        for row in range(2):
            left, top = x + 5 + column * (width - 12) / 2.6, y - height / 2 + 5 + row * 15
            canvas.rect((left - 1, top - 1, left + 8, top + 10), (244, 240, 230))
            canvas.rect((left, top, left + 7, top + 9), varied((60, 80, 100), rng, 0.3))


def _lighthouse(canvas: Canvas, x: float, base: float) -> None:
    for index in range(6):
        low, high = base - index * 23, base - (index + 1) * 23
        half_low, half_high = 19 - index * 1.4, 19 - (index + 1) * 1.4
        tint = (206, 54, 46) if index % 2 == 0 else (246, 242, 232)
        canvas.poly([(x - half_low, low), (x + half_low, low), (x + half_high, high), (x - half_high, high)], tint)
        canvas.rect((x - 3, high + 8, x + 3, high + 16), (60, 70, 90))
    top = base - 138
    canvas.rect((x - 16, top - 4, x + 16, top), (60, 60, 66))
    canvas.rect((x - 9, top - 20, x + 9, top - 4), (255, 240, 170), (60, 60, 66), 1.6)
    canvas.poly([(x - 12, top - 20), (x + 12, top - 20), (x, top - 34)], (206, 54, 46))


def _water(
    canvas: Canvas, box: tuple[float, float, float, float], deep: Colour, bright: Colour, rng: np.random.Generator
) -> None:
    """Water with waves that grow towards the lower edge; it stands still, so that the plane is rigid."""
    x0, y0, x1, y1 = box
    canvas.rect(box, deep)
    canvas.grain(box, (40, 7), 0.12, int(rng.integers(1 << 30)))
    canvas.shade(box, 1.2, 0.78)
    y = y0 + 2
    while y < y1:
        near = (y - y0) / (y1 - y0)
        x = x0 + rng.uniform(-20, 0)
        while x < x1:
            length = rng.uniform(7, 16) * (0.7 + near)
            share = rng.uniform(0.15, 0.75)
            tint = tuple(int(a + (b - a) * share) for a, b in zip(deep, bright, strict=True))
            rise = 1.5 + 2.5 * near
            canvas.line([(x, y), (x + length * 0.5, y - rise), (x + length, y)], tint, 1 + near)
            x += length + rng.uniform(6, 22)
        y += 5 + 7 * near


def _ridge(canvas: Canvas, base: float, rise: float, tint: Colour, rng: np.random.Generator) -> None:
    width = DUSK_WH[0]
    xs = np.arange(-20, width + 40, 20)
    tops = base - rise * (0.45 + 0.3 * np.sin(xs / 71 + rise) + 0.25 * rng.uniform(size=len(xs)))
    canvas.poly([(-20, base), *((float(x), float(y)) for x, y in zip(xs, tops, strict=True)), (width + 20, base)], tint)
    for x, y in zip(xs, tops, strict=True):
        for _ in range(7):  # rocks and woods on the slope
            at_x, at_y = x + rng.uniform(0, 20), rng.uniform(y + 8, max(base - 2, y + 9))
            shade = varied(tint, rng, 0.2)
            canvas.poly([(at_x - 6, at_y + 5), (at_x, at_y - 5), (at_x + 6, at_y + 5)], shade)


def _moored(canvas: Canvas, x: float, y: float, size: float, hull: Colour, rng: np.random.Generator) -> None:
    canvas.shadow(x, y + 14 * size, 46 * size, 5, 120, 2)
    canvas.line([(x - 4 * size, y), (x - 4 * size, y - 104 * size)], (70, 50, 48), 2)
    for end in (-44, 42):
        canvas.line([(x - 4 * size, y - 102 * size), (x + end * size, y - 4)], (90, 66, 64), 0.8)
    canvas.rect((x - 6 * size, y - 22 * size, x + 34 * size, y - 16 * size), varied((90, 110, 140), rng, 0.3), radius=2)
    canvas.rect((x - 20 * size, y - 12 * size, x + 20 * size, y), (236, 220, 200))
    for window in (-14, -2, 10):
        canvas.rect((x + window * size, y - 9 * size, x + (window + 7) * size, y - 4 * size), (50, 50, 70))
    canvas.poly(
        [
            (x - 46 * size, y - 3),
            (x + 46 * size, y - 3),
            (x + 34 * size, y + 14 * size),
            (x - 38 * size, y + 14 * size),
        ],
        hull,
    )
    canvas.line([(x - 44 * size, y + 1), (x + 44 * size, y + 1)], (246, 230, 200), 2)
    for flag in range(8):
        at = x - 4 * size + flag * 5 * size
        low = y - 100 * size + flag * 10.5 * size
        canvas.poly(
            [(at, low), (at + 5, low + 6), (at - 1, low + 8)], ((220, 70, 60), (240, 200, 80), (80, 130, 160))[flag % 3]
        )


def _jetty(canvas: Canvas, rng: np.random.Generator) -> None:
    """Planks along the lower edge, with posts and ropes."""
    width, height = DUSK_WH
    for x in np.arange(0, width, 15):
        canvas.rect((x, 364, x + 14, height), varied((124, 84, 70), rng, 0.16))
        for y in (372, 400):
            canvas.ellipse(x + 7, y, 1.4, 1.4, (60, 40, 36))
    canvas.grain((0, 364, width, height), (3, 24), 0.1, 3)
    canvas.rect((0, 361, width, 366), (170, 116, 84))
    for x in np.arange(30, width, 118):
        rope = [(x + step * 118 / 12, 344 + 14 * np.sin(np.pi * step / 12)) for step in range(13)]
        canvas.line([(float(a), float(b)) for a, b in rope], (220, 180, 130), 2.2)
        canvas.rect((x - 7, 334, x + 7, 376), (84, 56, 50), radius=3)
        canvas.rect((x - 8, 332, x + 8, 339), (226, 180, 130), radius=2)


def _fishing_boat() -> np.ndarray:
    """A red fishing boat that faces right, 216 x 166, waterline at y = 140."""
    canvas = Canvas(216, 166)
    canvas.line([(150, 74), (150, 10)], (90, 70, 54), 3.4)
    canvas.line([(60, 84), (60, 26)], (90, 70, 54), 3)
    canvas.line([(150, 12), (206, 84)], (60, 50, 46), 1.2)
    canvas.line([(150, 12), (60, 28)], (60, 50, 46), 1.2)
    canvas.line([(60, 28), (10, 90)], (60, 50, 46), 1.2)
    canvas.poly([(151, 12), (176, 18), (151, 26)], (240, 196, 60))
    canvas.rect((92, 46, 142, 96), (246, 242, 230), (120, 110, 100), 1)
    canvas.rect((86, 38, 148, 48), (40, 90, 130), radius=2)
    for x in (98, 113, 128):
        canvas.rect((x, 54, x + 11, 70), (60, 90, 110), (90, 80, 70), 1)
    canvas.rect((100, 76, 114, 98), (40, 90, 130))
    canvas.ellipse(128, 84, 8, 8, None, (226, 90, 50), 4)
    for x, tint in ((26, (230, 160, 50)), (46, (70, 130, 150)), (66, (230, 160, 50))):
        canvas.rect((x, 76, x + 18, 96), tint, (90, 60, 40), 1)
        canvas.line([(x, 86), (x + 18, 86)], (90, 60, 40), 1)
    canvas.rect((160, 82, 178, 96), (110, 150, 90), (60, 80, 50), 1)
    canvas.poly([(6, 92), (170, 94), (212, 80), (190, 146), (24, 146)], (200, 52, 44))
    canvas.poly([(6, 92), (170, 94), (212, 80), (210, 88), (170, 102), (8, 100)], (248, 240, 222))
    canvas.poly([(18, 130), (196, 130), (190, 146), (24, 146)], (50, 56, 70))
    canvas.text(92, 116, "MARIE 27", 18, (250, 240, 220))
    for x in (30, 148, 166):
        canvas.ellipse(x, 114, 6, 6, (40, 44, 50), (230, 230, 226), 1.4)
    canvas.shade((0, 90, 216, 148), 1.12, 0.84)
    canvas.grain((0, 30, 216, 148), 10, 0.05, 6)
    return _with_foam(canvas, 216, 142)


def _sailing_boat() -> np.ndarray:
    """A sailing boat that faces right, 156 x 206, waterline at y = 184."""
    canvas = Canvas(156, 206)
    stripes = ((236, 84, 60), (250, 240, 220), (240, 170, 60))
    for index in range(9):
        low, high = 150 - index * 15, 150 - (index + 1) * 15
        left_low, left_high = 70 - 58 * (1 - index / 9) ** 0.8, 70 - 58 * (1 - (index + 1) / 9) ** 0.8
        canvas.poly([(left_low, low), (70, low), (70, high), (left_high, high)], stripes[index % 3])
    canvas.poly([(78, 24), (146, 150), (80, 150)], (250, 244, 228))
    for y in (60, 90, 120):
        canvas.line([(79, y), (78 + (y - 24) * 0.54, y)], (206, 190, 170), 1.4)
    canvas.poly([(84, 128), (130, 128), (138, 144), (84, 144)], (60, 120, 160))
    canvas.line([(74, 160), (74, 8)], (96, 66, 50), 4)
    canvas.text(52, 112, "7", 30, (40, 50, 90))
    canvas.poly([(75, 6), (94, 11), (75, 17)], (220, 60, 60))
    canvas.ellipse(40, 150, 6, 7, (214, 160, 120))
    canvas.rect((32, 155, 49, 172), (240, 210, 80), radius=4)
    canvas.rect((84, 154, 116, 168), (236, 226, 206), (120, 100, 90), 1)
    for x in (89, 102):
        canvas.ellipse(x + 3, 161, 3.6, 3.6, (60, 70, 90))
    canvas.poly([(6, 164), (150, 160), (130, 190), (22, 190)], (54, 74, 120))
    canvas.poly([(6, 164), (150, 160), (147, 166), (8, 170)], (250, 236, 214))
    for x in range(28, 126, 16):
        canvas.rect((x, 174, x + 8, 179), (240, 180, 70))
    canvas.shade((0, 6, 156, 192), 1.05, 0.85)
    canvas.grain((0, 6, 156, 192), 14, 0.06, 7)
    return _with_foam(canvas, 156, 187)


def _with_foam(canvas: Canvas, width: float, waterline: float) -> np.ndarray:
    """Foam where the hull meets the water."""
    rng = np.random.default_rng(2)
    foam = canvas.layer()
    for x in np.arange(14, width - 14, 3.4):
        foam.ellipse(
            x, waterline + 3 + rng.uniform(-2, 3), rng.uniform(3, 8), rng.uniform(1.5, 3.5), (240, 246, 248, 235)
        )
    canvas.merge(foam, 0.7)
    return canvas.sprite()


def _afloat(name: str, sprite: np.ndarray, outline_xy: list, start_xy: tuple[float, float], speed: float) -> Thing:
    """Goes right and rocks about the middle of its waterline."""
    middle_x, low_y = sprite.shape[1] / SCALE / 2, sprite.shape[0] / SCALE - 20

    def layers(time_s: float) -> Layers:
        rock = 0.02 * np.sin(2.6 * time_s + 0.5)
        pose = moved(start_xy[0] + speed * time_s, start_xy[1] + 1.2 * np.sin(3.1 * time_s))
        return [(sprite, pose @ moved(middle_x, low_y) @ turned(rock) @ moved(-middle_x, -low_y))]

    return Thing(name=name, layers=layers, outline_xy=outline_xy)


def day_view() -> View:
    """The camera stands still; the fishing boat comes in from the left."""
    outline = [(6, 92), (60, 26), (150, 10), (176, 18), (212, 80), (192, 149), (20, 149)]
    boat = _afloat("fishing boat", _fishing_boat(), outline, (62, 162), BOAT_SPEED)
    return View(scenery=day_scenery(), camera=lambda _: {"x": 330, "y": 190}, things=[boat], length_s=2.5)


def dusk_view() -> View:
    """The camera begins to pan left along the bay, past a sailing boat that goes right."""
    shake = wobble(seed=12)

    def camera(time_s: float) -> dict[str, float]:
        dx, dy, roll = shake(time_s)
        return {
            "x": 540 - 48 * time_s**2 / 2.5 + 1.6 * dx,
            "y": 206 + 1.4 * dy,
            "zoom": 1.02,
            "roll": 0.004 * roll,
            "tilt_x": 1e-5 * np.sin(time_s),
        }

    outline = [(6, 164), (40, 60), (70, 12), (94, 11), (150, 158), (128, 194), (22, 194)]
    boat = _afloat("sailing boat", _sailing_boat(), outline, (310, 136), SAIL_SPEED)
    return View(scenery=dusk_scenery(), camera=camera, things=[boat], length_s=2.5)
