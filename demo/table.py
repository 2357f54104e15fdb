"""The table of the demo, seen from above: a ball rolls by, a toy truck pushes a tea box."""

from itertools import pairwise

import numpy as np
from camera import Layers, Thing, View, moved, project, turned, wobble
from painting import SCALE, Canvas, Colour, foliage, varied
from PIL import Image

WORLD_WH = (860, 520)
BALL_RADIUS = 56.0
BALL_SPEED = 52.0
PUSH_SPEED = 62.0


def table_scenery(seed: int = 23) -> np.ndarray:
    """The table with what lies still on it, HW3 RGB."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(*WORLD_WH, (150, 100, 60, 255))
    _planks(canvas, rng)
    _lay(canvas, _cloth(rng), (150, 452), 0.06)
    _lay(canvas, _plate(rng), (168, 425), 0.0)
    _lay(canvas, _book(190, 118, (40, 92, 110), "ATLAS", rng), (172, 132), -0.1)
    _lay(canvas, _book(150, 92, (176, 58, 50), "POEMS", rng), (184, 130), 0.14)
    _lay(canvas, _book(190, 120, (104, 74, 130), "STARS", rng), (655, 500), -0.07)
    _lay(canvas, _notebook(rng), (665, 165), 0.12)
    for x, y, angle, colour in (
        (585, 180, 1.2, (226, 170, 40)),
        (760, 165, 1.85, (70, 130, 80)),
        (535, 96, 0.4, (190, 60, 80)),
    ):
        _lay(canvas, _pencil(colour), (x, y), angle)
    _lay(canvas, _mug(rng), (418, 142), -0.35)
    _lay(canvas, _plant(rng), (790, 62), 0.0)
    _lay(canvas, _postcard(rng), (738, 288), -0.25)
    _lay(canvas, _postcard(rng), (385, 462), 0.3)
    _lay(canvas, _keys(), (305, 185), 0.4)
    canvas.shade((0, 0, *WORLD_WH), 1.06, 0.9)
    return canvas.rgb()


def _planks(canvas: Canvas, rng: np.random.Generator) -> None:
    width, height = WORLD_WH
    plank = 65
    for row, y in enumerate(range(0, height, plank)):
        cuts = [0.0, *sorted(rng.uniform(100, width - 100, 1 + row % 2)), float(width)]
        for left, right in pairwise(cuts):
            box = (left, y, right, y + plank)
            canvas.rect(box, varied((186, 130, 80), rng, 0.1))
            canvas.grain(box, (90, 5), 0.13, int(rng.integers(1 << 30)))
            canvas.grain(box, (16, 3), 0.06, int(rng.integers(1 << 30)))
            for _ in range(int((right - left) / 55)):
                _knot(canvas, rng.uniform(left + 12, right - 12), rng.uniform(y + 12, y + plank - 12), rng)
            for x in (left + 7, right - 7):
                for dowel_y in (y + 14, y + plank - 14):
                    canvas.ellipse(x, dowel_y, 2.6, 2.6, (92, 60, 36), (60, 38, 22), 0.6)
            canvas.rect(box, None, (88, 56, 34), 1)


def _knot(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> None:
    size = rng.uniform(0.6, 1.2)
    for ring, tint in ((9, (150, 98, 56)), (6, (124, 78, 44)), (3, (84, 50, 28))):
        canvas.ellipse(x, y, ring * size * 1.5, ring * size * 0.7, None if ring == 9 else tint, tint, 0.9)


def _lay(canvas: Canvas, sheet: Canvas, centre_xy: tuple[float, float], angle: float) -> None:
    """Puts the sheet on the table, turned clockwise by `angle` radians, with a soft shadow to the lower right."""
    image = sheet.image.rotate(-np.degrees(angle), Image.Resampling.BICUBIC, expand=True)
    corner = [round(centre_xy[axis] * SCALE - image.size[axis] / 2) for axis in (0, 1)]
    shadow = canvas.layer()
    dark = Image.new("RGBA", image.size, (20, 10, 5, 255))
    dark.putalpha(image.getchannel("A").point(lambda alpha: alpha * 0.5))
    shadow.image.paste(dark, (corner[0] + 4 * SCALE, corner[1] + 5 * SCALE))
    canvas.merge(shadow, 3)
    top = canvas.layer()
    top.image.paste(image, (corner[0], corner[1]))
    canvas.merge(top)


def _cloth(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(250, 220)
    canvas.rect((0, 0, 250, 220), (240, 232, 214))
    red, pale = (190, 54, 56), (222, 140, 132)
    for row in range(10):
        for column in range(12):
            box = (column * 22, row * 22, column * 22 + 22, row * 22 + 22)
            if (row % 2) or (column % 2):
                canvas.rect(box, red if row % 2 and column % 2 else pale)
    canvas.grain((0, 0, 250, 220), 3, 0.06, int(rng.integers(1 << 30)))
    canvas.grain((0, 0, 250, 220), 50, 0.08, int(rng.integers(1 << 30)))
    canvas.rect((5, 5, 245, 215), None, (250, 246, 236), 2)
    return canvas


def _plate(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(150, 150)
    canvas.ellipse(75, 75, 74, 74, (236, 240, 242), (170, 184, 196), 1)
    canvas.ellipse(75, 75, 52, 52, (248, 250, 250), (196, 206, 214), 1.4)
    for angle in np.arange(20) * np.pi / 10:
        x, y = 75 + 63 * np.cos(angle), 75 + 63 * np.sin(angle)
        canvas.ellipse(x, y, 5, 5, (52, 92, 160))
        canvas.ellipse(x, y, 2, 2, (240, 200, 80))
    for x, y in ((58, 62), (92, 58), (64, 94), (96, 92), (78, 76)):
        canvas.ellipse(x + 2, y + 2, 19, 19, (150, 140, 130))
        canvas.ellipse(x, y, 19, 19, varied((206, 150, 84), rng, 0.08), (156, 102, 50), 1.4)
        for _ in range(9):
            angle, radius = rng.uniform(0, 7), rng.uniform(0, 14)
            canvas.ellipse(x + radius * np.cos(angle), y + radius * np.sin(angle), 2.6, 2.2, (72, 42, 28))
    return canvas


def _book(width: float, height: float, colour: Colour, title: str, rng: np.random.Generator) -> Canvas:
    canvas = Canvas(width + 6, height + 6)
    canvas.rect((4, 4, width + 6, height + 6), (236, 228, 206), (150, 140, 120), 0.8)
    canvas.rect((0, 0, width, height), colour, radius=3)
    canvas.rect((0, 0, 12, height), tuple(int(c * 0.7) for c in colour))
    canvas.rect((22, 10, width - 10, height - 10), None, (236, 206, 130), 1.6)
    canvas.text(width / 2 + 6, height * 0.26, title, 24, (244, 222, 160))
    for index in range(7):
        x = 34 + (width - 56) * index / 6
        canvas.ellipse(x, height * 0.62, 10, 16, varied(colour, rng, 0.5), (236, 206, 130), 1)
        canvas.ellipse(x, height * 0.62, 3, 3, (236, 206, 130))
    canvas.grain((0, 0, width, height), 4, 0.05, int(rng.integers(1 << 30)))
    return canvas


def _notebook(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(210, 170)
    canvas.rect((0, 0, 210, 170), (250, 246, 232), (170, 160, 140), 1)
    for y in range(16, 168, 11):
        canvas.line([(4, y), (206, y)], (176, 200, 220), 0.8)
    canvas.rect((103, 0, 107, 170), (200, 194, 180))
    for y in range(16, 140, 11):  # handwriting
        x = 12.0
        while x < 84:
            width = rng.uniform(6, 18)
            strokes = [(x + i * 1.8, y - 2 - 4 * abs(np.sin(i * 1.7 + width))) for i in range(int(width / 1.8))]
            if len(strokes) > 1:
                canvas.line(strokes, (40, 50, 110), 1.1)
            x += width + 4
    canvas.poly([(122, 92), (158, 46), (194, 92)], (206, 84, 66))
    canvas.rect((130, 92, 186, 136), (240, 214, 150), (90, 60, 40), 1.4)
    canvas.rect((150, 106, 166, 136), (110, 74, 50))
    canvas.rect((134, 98, 146, 110), (120, 170, 200), (90, 60, 40), 1)
    canvas.ellipse(186, 26, 12, 12, (244, 196, 60))
    foliage(canvas, 122, 124, 10, 16, (96, 150, 70), rng)
    return canvas


def _pencil(colour: Colour) -> Canvas:
    canvas = Canvas(140, 10)
    canvas.rect((12, 0, 120, 10), colour)
    canvas.rect((12, 3, 120, 6), tuple(min(255, int(c * 1.25)) for c in colour))
    canvas.poly([(120, 0), (138, 5), (120, 10)], (232, 200, 150))
    canvas.poly([(132, 3), (139, 5), (132, 7)], (40, 40, 44))
    canvas.rect((6, 0, 13, 10), (180, 184, 188))
    canvas.rect((0, 0, 7, 10), (222, 130, 140), radius=2)
    return canvas


def _mug(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(150, 120)
    canvas.ellipse(60, 60, 58, 58, (238, 234, 222), (190, 180, 160), 1)
    for angle in np.arange(16) * np.pi / 8:
        canvas.ellipse(60 + 50 * np.cos(angle), 60 + 50 * np.sin(angle), 4, 4, (216, 130, 60))
    canvas.line([(92, 60), (136, 60)], (54, 120, 116), 13)
    canvas.ellipse(60, 60, 38, 38, (54, 120, 116), (34, 84, 84), 1.4)
    canvas.ellipse(60, 60, 32, 32, (92, 56, 34), (60, 36, 22), 2)
    for radius in (24, 16, 8):
        canvas.ellipse(60 + rng.uniform(-3, 3), 60, radius, radius * 0.8, None, (206, 164, 116), 2.6)
    canvas.ellipse(50, 48, 5, 3, (240, 220, 190))
    return canvas


def _plant(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(170, 170)
    canvas.ellipse(85, 85, 50, 50, (176, 92, 60), (130, 64, 40), 3)
    foliage(canvas, 85, 85, 70, 66, (86, 150, 84), rng)
    return canvas


def _postcard(rng: np.random.Generator) -> Canvas:
    canvas = Canvas(104, 74)
    canvas.rect((0, 0, 104, 74), (250, 248, 240))
    canvas.rect((5, 5, 99, 69), (140, 196, 226))
    canvas.poly([(5, 50), (28, 22), (46, 44), (66, 16), (99, 52), (99, 69), (5, 69)], (112, 120, 150))
    canvas.poly([(58, 27), (66, 16), (75, 26), (67, 30)], (246, 248, 250))
    canvas.rect((5, 54, 99, 69), (70, 130, 150))
    for _ in range(16):
        x, y = rng.uniform(8, 90), rng.uniform(56, 68)
        canvas.line([(x, y), (x + 7, y)], (200, 226, 230), 0.8)
    canvas.poly([(40, 58), (58, 58), (54, 63), (44, 63)], (150, 60, 40))
    canvas.poly([(49, 40), (49, 57), (60, 57)], (250, 246, 236))
    canvas.ellipse(22, 16, 6, 6, (250, 216, 100))
    return canvas


def _keys() -> Canvas:
    canvas = Canvas(80, 50)
    canvas.ellipse(24, 25, 14, 14, None, (150, 152, 160), 3)
    for y, tint in ((16, (214, 178, 80)), (34, (186, 190, 198))):
        canvas.ellipse(38, y, 9, 9, tint, (90, 80, 60), 1)
        canvas.rect((44, y - 2.5, 78, y + 2.5), tint, (90, 80, 60), 0.6)
        for x in (60, 67, 73):
            canvas.rect((x, y + 2, x + 4, y + 6), tint)
    return canvas


def _ball(roll: float) -> np.ndarray:
    """The beach ball after rolling by `roll` radians to the right: a lit sphere, striped and dotted, and its shadow."""
    side = int((2 * BALL_RADIUS + 24) * SCALE)
    canvas = Canvas(side / SCALE, side / SCALE)
    canvas.shadow(BALL_RADIUS + 9, BALL_RADIUS + 12, BALL_RADIUS * 0.95, BALL_RADIUS * 0.95, 130, 4)
    y, x = ((np.mgrid[:side, :side] + 0.5) / SCALE - BALL_RADIUS - 2) / BALL_RADIUS
    inside = np.clip((1 - np.hypot(x, y)) * BALL_RADIUS * SCALE, 0, 1)
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    skin_x, skin_z = x * np.cos(roll) - z * np.sin(roll), x * np.sin(roll) + z * np.cos(roll)
    lean = 0.5  # the poles of the ball lean off the axis it rolls about
    pole, across = y * np.cos(lean) + skin_x * np.sin(lean), skin_x * np.cos(lean) - y * np.sin(lean)
    longitude = np.arctan2(skin_z, across)
    palette = np.array(
        [[224, 62, 52], [246, 240, 224], [44, 112, 186], [246, 240, 224], [244, 186, 50], [246, 240, 224]], float
    )
    sector = (longitude / (2 * np.pi) * 6 % 6).astype(int)
    rgb = palette[sector]
    dots = (
        np.hypot(
            (longitude / (np.pi / 3) % 1 - 0.5) * np.sqrt(np.clip(1 - pole**2, 0, 1)) * 1.05,
            (pole * 3.2 + 0.5) % 1 - 0.5,
        )
        < 0.24
    )
    rgb = np.where(dots[..., None], palette[(sector + 3) % 6] * 0.86, rgb)
    rgb = np.where(np.abs(pole)[..., None] > 0.93, (60, 70, 90), rgb)
    light = 0.5 + 0.55 * np.clip(-0.45 * x - 0.5 * y + 0.74 * z, 0, 1)
    shine = np.clip(-0.5 * x - 0.56 * y + 0.66 * z, 0, 1) ** 60 * 120
    rgb = np.clip(rgb * light[..., None] + shine[..., None], 0, 255)
    sprite = canvas.sprite()
    sprite *= 1 - inside[..., None]
    sprite += np.dstack([rgb * inside[..., None], inside])
    return sprite.astype(np.float32)


def _tea_box() -> np.ndarray:
    canvas = Canvas(136, 106)
    shadow = canvas.layer()
    shadow.rect((9, 11, 131, 101), (20, 10, 5, 140))
    canvas.merge(shadow, 3)
    canvas.rect((2, 2, 124, 92), (34, 110, 78), (20, 70, 50), 1.5)
    canvas.rect((8, 8, 118, 86), None, (240, 210, 120), 2)
    canvas.text(63, 29, "GREEN TEA", 17, (250, 236, 180))
    for x, y, angle in ((40, 62, 0.5), (60, 58, 1.2), (84, 62, 2.2)):
        leaf = project(moved(x, y) @ turned(angle), [(-17, 0), (-6, -8), (9, -6), (18, 0), (9, 6), (-6, 8)])
        canvas.poly([(float(a), float(b)) for a, b in leaf], (150, 206, 96))
        vein = project(moved(x, y) @ turned(angle), [(-17, 0), (18, 0)])
        canvas.line([(float(a), float(b)) for a, b in vein], (70, 130, 60), 1.2)
    for x, y in ((16, 16), (110, 16), (16, 78), (110, 78)):
        canvas.ellipse(x, y, 5, 5, (222, 84, 60), (250, 236, 180), 1)
    canvas.text(63, 81, "20 bags", 9, (250, 236, 180))
    canvas.grain((2, 2, 124, 92), 5, 0.05, 8)
    return canvas.sprite()


def _toy_truck() -> np.ndarray:
    """From above, facing left."""
    canvas = Canvas(136, 92)
    shadow = canvas.layer()
    shadow.rect((14, 14, 130, 84), (20, 10, 5, 140))
    canvas.merge(shadow, 3)
    for x in (24, 78, 100):
        for y in (4, 66):
            canvas.rect((x, y, x + 18, y + 12), (40, 40, 44), radius=3)
            for tread in range(3):
                canvas.rect((x + 3 + tread * 5, y, x + 5 + tread * 5, y + 12), (90, 90, 94))
    canvas.rect((2, 8, 12, 74), (150, 154, 160), (90, 92, 98), 1.2, radius=2)
    canvas.rect((12, 34, 22, 48), (90, 92, 98))
    canvas.rect((18, 12, 58, 70), (246, 186, 40), (180, 120, 20), 1.4, radius=5)
    canvas.rect((26, 18, 36, 64), (90, 124, 146), radius=3)
    canvas.rect((40, 20, 54, 62), (250, 206, 80), (180, 120, 20), 1)
    canvas.rect((62, 10, 124, 72), (206, 60, 48), (130, 30, 26), 1.6, radius=3)
    canvas.rect((68, 16, 118, 66), (142, 96, 60))
    rng = np.random.default_rng(9)
    for _ in range(60):
        x, y = rng.uniform(73, 113), rng.uniform(21, 61)
        canvas.ellipse(x, y, 5, 4.4, varied((176, 168, 156), rng, 0.3), (90, 84, 78), 0.7)
    canvas.ellipse(47, 41, 5, 5, (230, 90, 40), (130, 30, 26), 1)
    return canvas.sprite()


def _rolling(start_xy: tuple[float, float], heading: float) -> Thing:
    middle = BALL_RADIUS + 2

    def layers(time_s: float) -> Layers:
        gone = BALL_SPEED * time_s
        pose = moved(*start_xy) @ turned(heading) @ moved(gone, 0) @ turned(-heading) @ moved(-middle, -middle)
        return [(_ball(gone / BALL_RADIUS), pose)]

    angles = np.arange(12) * np.pi / 6
    outline = [(middle + BALL_RADIUS * np.cos(a), middle + BALL_RADIUS * np.sin(a)) for a in angles]
    return Thing(name="ball", layers=layers, outline_xy=outline)


def _pushed(name: str, sprite: np.ndarray, outline_xy: list, offset_xy: tuple[float, float]) -> Thing:
    """What the truck moves along, itself included; `offset_xy` in the frame of the truck, which heads left."""

    def layers(time_s: float) -> Layers:
        turn = 0.04 * np.sin(1.1 * time_s)
        pose = moved(526 - PUSH_SPEED * time_s, 334 - 2 * time_s) @ turned(0.06 + turn) @ moved(*offset_xy)
        return [(sprite, pose)]

    return Thing(name=name, layers=layers, outline_xy=outline_xy)


def table_view() -> View:
    """A camera held by hand over the table zooms in slowly."""
    shake = wobble(seed=8)

    def camera(time_s: float) -> dict[str, float]:
        dx, dy, roll = shake(time_s)
        return {
            "x": 425 + 4 * time_s + 5.0 * dx,
            "y": 272 + 4.0 * dy,
            "zoom": 0.93 * float(np.exp(0.045 * time_s)),
            "roll": 0.02 * np.sin(0.8 * time_s) + 0.006 * roll,
            "tilt_x": 2.5e-5 * np.sin(1.1 * time_s),
            "tilt_y": 3e-5 * np.sin(0.7 * time_s + 1),
        }

    box_outline = [(2, 2), (124, 2), (124, 92), (2, 92)]
    truck_outline = [(2, 4), (124, 4), (124, 78), (2, 78)]
    things = [
        _rolling((192, 265), -0.02),
        _pushed("tea box", _tea_box(), box_outline, (0, 0)),
        _pushed("toy truck", _toy_truck(), truck_outline, (123, 6)),
    ]
    return View(scenery=table_scenery(), camera=camera, things=things, length_s=4.0)
