"""The street of the demo: houses, shops and trees; a delivery van and a red car."""

from itertools import pairwise

import numpy as np
from camera import Thing, View, eased, moved, turned, wobble
from painting import Canvas, bricks, foliage, varied

WORLD_WH = (1000, 420)
GROUND_Y, ROAD_Y = 268, 302
PAN_SPEED = 52.0


def street_scenery(seed: int = 11) -> np.ndarray:
    """The street, HW3 RGB."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(*WORLD_WH, (150, 196, 232, 255))
    _sky(canvas, rng)
    canvas.shade((0, 0, WORLD_WH[0], 150), 0.9, 1.1)
    plots = [
        (-40, 190, 96, (206, 170, 120), (120, 66, 52), False, "TOYS", (70, 120, 160)),
        (150, 200, 72, (178, 84, 66), (84, 88, 100), True, "BAKERY", (196, 60, 52)),
        (350, 150, 104, (226, 206, 160), (140, 72, 54), False, "", (60, 110, 90)),
        (500, 190, 66, (152, 110, 92), (70, 74, 84), True, "BOOKS", (44, 92, 84)),
        (690, 170, 92, (164, 190, 190), (130, 68, 56), False, "CAFE", (210, 150, 50)),
        (860, 180, 80, (190, 96, 78), (88, 90, 104), True, "MUSIC", (100, 70, 130)),
    ]
    for left, width, top, wall, roof, brick, sign, accent in plots:
        _house(canvas, (left, top, left + width, GROUND_Y), wall, roof, brick, rng)
        _upper_windows(canvas, (left, top, left + width, GROUND_Y), accent, rng)
        _ground_floor(canvas, (left, left + width), sign, accent, rng)
    _pavement_and_road(canvas, rng)
    for x, size in ((142, 40), (345, 36), (505, 34), (684, 42), (860, 38)):
        _tree(canvas, x, size, rng)
    for x in (60, 250, 430, 600, 775, 940):
        _street_furniture(canvas, x, rng)
    return canvas.rgb()


def _sky(canvas: Canvas, rng: np.random.Generator) -> None:
    clouds = canvas.layer()
    for _ in range(26):
        x, y = rng.uniform(0, WORLD_WH[0]), rng.uniform(0, 90)
        for _ in range(9):
            clouds.ellipse(
                x + rng.normal(0, 26),
                y + rng.normal(0, 6),
                rng.uniform(8, 22),
                rng.uniform(4, 10),
                (255, 255, 255, 200),
            )
    canvas.merge(clouds, 1.2)
    for x in np.arange(-10, WORLD_WH[0] + 20, 13):  # trees behind the roofs
        foliage(canvas, x, 108 + rng.normal(0, 8), 20, 24, (92, 130, 104), rng)


def _house(canvas: Canvas, box: tuple, wall: tuple, roof: tuple, brick: bool, rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    chimney_x = x0 + (x1 - x0) * rng.uniform(0.15, 0.75)
    bricks(canvas, (chimney_x, y0 - 48, chimney_x + 18, y0), (150, 80, 64), (110, 90, 80), rng, (8, 5))
    canvas.rect((chimney_x - 2, y0 - 51, chimney_x + 20, y0 - 46), (90, 80, 78))
    for row in range(6):  # tiles of the roof, the eaves last
        y = y0 - 34 + row * 6
        inset = (5 - row) * 2.6
        for x in np.arange(x0 + inset, x1 - inset - 1, 7):
            canvas.rect((x, y, min(x + 6.4, x1 - inset), y + 8), varied(roof, rng, 0.18), radius=1.5)
    if brick:
        bricks(canvas, box, wall, tuple(int(c * 0.75 + 50) for c in wall), rng)
    else:
        canvas.rect(box, wall)
        canvas.grain(box, 7, 0.06, int(rng.integers(1 << 30)))
        for _ in range(16):  # patches where the plaster is worn
            x, y = rng.uniform(x0 + 4, x1 - 16), rng.uniform(y0 + 8, y1 - 10)
            canvas.rect((x, y, x + rng.uniform(5, 14), y + rng.uniform(2, 5)), varied(wall, rng, 0.12))
        for y in np.arange(y0 + 6, y1, 12):  # corner stones
            for x in (x0 + 1, x1 - 9):
                canvas.rect((x, y, x + 8, y + 8), varied((196, 190, 176), rng, 0.1))
    canvas.shade((x0, y0, x1, y0 + 12), 0.6, 1.0)
    canvas.rect((x0 - 2, y0 - 2, x1 + 2, y0 + 4), (236, 230, 214), (140, 130, 120), 0.7)
    canvas.line([(x1, y0), (x1, y1)], (60, 50, 50), 1.4)


def _upper_windows(canvas: Canvas, box: tuple, accent: tuple, rng: np.random.Generator) -> None:
    x0, y0, x1, _ = box
    count = int((x1 - x0) // 48)
    floors = [y0 + 16] if y0 > 85 else [y0 + 12, y0 + 66]
    for y in floors:
        height = 46 if len(floors) == 1 else 40
        for index in range(count):
            x = x0 + (x1 - x0) * (index + 0.5) / count - 12
            canvas.rect((x - 2, y - 2, x + 26, y + height + 2), (240, 236, 224))
            canvas.rect((x, y, x + 24, y + height), (58, 78, 98))
            canvas.poly(
                [(x, y + height), (x, y + height * 0.5), (x + 24, y + 4), (x + 24, y + height * 0.4)], (110, 140, 160)
            )
            for side in (x, x + 16):
                canvas.rect((side, y, side + 8, y + height * rng.uniform(0.3, 0.8)), varied((214, 190, 170), rng, 0.2))
            canvas.rect((x + 11, y, x + 13, y + height), (240, 236, 224))
            canvas.rect((x, y + height * 0.45, x + 24, y + height * 0.45 + 2), (240, 236, 224))
            for side in (x - 12, x + 28):
                canvas.rect((side, y - 1, side + 8, y + height + 1), accent, (40, 40, 40), 0.4)
                for slat in np.arange(y + 2, y + height, 4):
                    canvas.line([(side + 1, slat), (side + 7, slat)], varied(accent, rng, 0.3), 1)
            canvas.rect((x - 4, y + height + 2, x + 28, y + height + 7), (126, 84, 60))
            for flower in range(9):
                bloom = ((222, 60, 80), (240, 190, 60), (240, 240, 240), (70, 130, 60))[int(rng.integers(4))]
                canvas.ellipse(x - 2 + flower * 3.6, y + height + rng.uniform(-1, 3), 2.2, 2, bloom)


def _ground_floor(
    canvas: Canvas, span: tuple[float, float], sign: str, accent: tuple, rng: np.random.Generator
) -> None:
    x0, x1 = span
    door_x = x1 - 42
    canvas.rect((door_x - 3, 206, door_x + 29, GROUND_Y), (236, 230, 214))
    canvas.rect((door_x, 209, door_x + 26, GROUND_Y), accent)
    for y in (213, 232, 250):
        canvas.rect((door_x + 3, y, door_x + 12, y + 14), varied(accent, rng, 0.4), (30, 30, 30), 0.5)
        canvas.rect((door_x + 14, y, door_x + 23, y + 14), varied(accent, rng, 0.4), (30, 30, 30), 0.5)
    canvas.ellipse(door_x + 22, 240, 1.6, 1.6, (240, 210, 90))
    left, right = x0 + 14, x1 - 54
    canvas.rect((left, 208, right, 260), (236, 230, 214))
    canvas.rect((left + 3, 211, right - 3, 256), (66, 60, 58))
    for shelf in (226, 241, 256):
        for x in np.arange(left + 6, right - 12, 8.5):
            goods = ((214, 160, 86), (190, 120, 60), (90, 130, 170), (200, 80, 70), (226, 210, 150))[
                int(rng.integers(5))
            ]
            height = rng.uniform(5, 11)
            canvas.rect((x, shelf - height, x + 7, shelf - 1), varied(goods, rng, 0.15), radius=1.5)
        canvas.line([(left + 3, shelf), (right - 3, shelf)], (150, 116, 80), 1.5)
    canvas.rect(((left + right) / 2 - 1.5, 208, (left + right) / 2 + 1.5, 260), (236, 230, 214))
    if not sign:
        return
    stripes = np.linspace(left - 6, right + 6, 14)
    for index, (a, b) in enumerate(pairwise(stripes)):
        stripe = accent if index % 2 else (244, 240, 230)
        canvas.poly([(a + 3, 194), (b + 1, 194), (b, 213), (a, 213)], stripe)
        canvas.ellipse((a + b) / 2, 213, (b - a) / 2, 3.4, stripe)
    canvas.rect((left - 4, 174, right + 4, 193), tuple(int(c * 0.55) for c in accent), (236, 214, 150), 1.2)
    canvas.text((left + right) / 2, 183.5, sign, 15, (248, 232, 180))


def _pavement_and_road(canvas: Canvas, rng: np.random.Generator) -> None:
    width, height = WORLD_WH
    bricks(canvas, (0, GROUND_Y, width, ROAD_Y - 7), (182, 174, 162), (128, 120, 112), rng, (21, 9))
    bricks(canvas, (0, ROAD_Y - 7, width, ROAD_Y), (206, 204, 198), (110, 108, 106), rng, (34, 7))
    bricks(canvas, (0, ROAD_Y, width, height), (112, 112, 118), (82, 82, 88), rng, (15, 10))
    canvas.grain((0, GROUND_Y, width, height), 16, 0.1, 5)
    canvas.shade((0, ROAD_Y, width, ROAD_Y + 8), 0.62, 1.0)
    for x in np.arange(20, width, 74):
        canvas.poly([(x + 3, 339), (x + 41, 339), (x + 38, 346), (x, 346)], varied((222, 220, 206), rng, 0.06))
    for x in (210, 520, 800):
        canvas.ellipse(x, 368, 20, 7, (70, 70, 74), (130, 130, 130), 1.4)
        for offset in (-12, -4, 4, 12):
            canvas.line([(x + offset, 364), (x + offset, 372)], (120, 120, 122), 1.4)
    for _ in range(90):  # fallen leaves
        x, y = rng.uniform(0, width), rng.uniform(GROUND_Y + 4, height)
        canvas.ellipse(x, y, 2.4, 1.4, varied((200, 150, 60), rng, 0.3))


def _tree(canvas: Canvas, x: float, size: float, rng: np.random.Generator) -> None:
    base = GROUND_Y + 16
    canvas.shadow(x + 6, base, size * 0.8, 5, 90)
    canvas.rect((x - 11, base - 3, x + 11, base + 4), (92, 72, 54), (60, 56, 54), 1)
    canvas.poly([(x - 5, base), (x + 5, base), (x + 3, 190), (x - 3, 190)], (98, 72, 52))
    for y in np.arange(196, base - 4, 7):
        canvas.line([(x - 3 + rng.uniform(0, 3), y), (x + rng.uniform(-1, 3), y + 5)], (66, 48, 36), 1)
    foliage(canvas, x, 168, size, size * 1.05, (98, 152, 66), rng)


def _street_furniture(canvas: Canvas, x: float, rng: np.random.Generator) -> None:
    """A lamp with a poster, or a bench."""
    base = ROAD_Y - 10
    if int(x) % 20 == 0:
        canvas.shadow(x, base, 24, 3, 90)
        for y in (base - 17, base - 13, base - 8):
            canvas.rect((x - 22, y, x + 22, y + 3), varied((150, 94, 54), rng, 0.1))
        for leg in (x - 18, x + 15):
            canvas.rect((leg, base - 18, leg + 3, base), (44, 48, 52))
        return
    canvas.shadow(x, base, 9, 2.5, 110)
    canvas.rect((x - 1.6, 158, x + 1.6, base), (40, 52, 56))
    canvas.rect((x - 4, base - 10, x + 4, base), (40, 52, 56), radius=1)
    canvas.poly([(x - 7, 140), (x + 7, 140), (x + 4, 158), (x - 4, 158)], (250, 232, 160))
    canvas.poly([(x - 9, 140), (x + 9, 140), (x, 132)], (40, 52, 56))
    canvas.rect((x + 2, 196, x + 16, 218), (232, 196, 70), (40, 52, 56), 1)
    canvas.text(x + 9, 207, "P", 12, (30, 60, 120))


def _wheel() -> np.ndarray:
    canvas = Canvas(30, 30)
    canvas.ellipse(15, 15, 14.5, 14.5, (32, 32, 36))
    canvas.ellipse(15, 15, 9.6, 9.6, (200, 204, 210), (110, 112, 118), 1)
    for angle in np.arange(5) * 2 * np.pi / 5:
        canvas.line([(15, 15), (15 + 8.6 * np.cos(angle), 15 + 8.6 * np.sin(angle))], (78, 80, 88), 2.6)
    canvas.ellipse(15, 15, 2.6, 2.6, (226, 226, 230))
    return canvas.sprite()


def _car_body() -> np.ndarray:
    """A red hatchback with racing stripes that faces left, 184 x 84."""
    canvas = Canvas(184, 84)
    canvas.shadow(92, 78, 86, 4.5, 150)
    red, dark = (206, 44, 40), (142, 24, 28)
    canvas.poly(
        [
            (4, 66),
            (5, 48),
            (18, 40),
            (52, 35),
            (80, 12),
            (138, 11),
            (170, 34),
            (180, 42),
            (181, 64),
            (176, 70),
            (8, 70),
        ],
        red,
    )
    canvas.poly([(4, 60), (181, 56), (181, 66), (176, 71), (8, 71)], dark)
    canvas.poly([(59, 36), (84, 16), (106, 15), (106, 36)], (70, 98, 120))
    canvas.poly([(111, 15), (135, 15), (156, 36), (111, 36)], (70, 98, 120))
    canvas.poly([(72, 36), (92, 16), (99, 16), (82, 36)], (168, 196, 210))
    canvas.poly([(122, 36), (128, 15), (134, 15), (134, 36)], (150, 180, 196))
    canvas.ellipse(92, 29, 6, 7, (196, 150, 120))
    canvas.rect((85, 20, 99, 25), (60, 40, 30), radius=2)
    canvas.rect((20, 43, 176, 47), (246, 240, 226))
    canvas.rect((24, 50, 172, 52), (246, 240, 226))
    for x in (58, 108, 158):
        canvas.line([(x, 38), (x, 64)], dark, 1)
    canvas.ellipse(83, 52, 11, 11, (246, 244, 236), (30, 30, 36), 1.2)
    canvas.text(83, 52, "12", 14, (20, 24, 60))
    canvas.rect((120, 40, 132, 43), (60, 16, 18), radius=1)
    canvas.poly([(5, 48), (18, 44), (20, 52), (6, 55)], (255, 244, 190))
    canvas.rect((173, 44, 180, 54), (255, 150, 60))
    canvas.rect((4, 60, 26, 65), (60, 60, 64))
    for x in (40, 146):
        canvas.ellipse(x, 66, 17, 17, (26, 16, 18))
    canvas.shade((0, 8, 184, 74), 1.16, 0.86)
    canvas.grain((0, 8, 184, 74), 12, 0.05, 3)
    return canvas.sprite()


def _van_body() -> np.ndarray:
    """A delivery van that faces right, 206 x 116."""
    canvas = Canvas(206, 116)
    canvas.shadow(103, 110, 98, 5, 150)
    blue, cream = (52, 112, 170), (246, 236, 208)
    canvas.rect((4, 8, 150, 100), cream, radius=5)
    canvas.poly([(148, 26), (172, 27), (186, 58), (201, 66), (203, 100), (148, 100)], blue)
    canvas.poly([(154, 33), (169, 33), (181, 58), (154, 58)], (74, 100, 122))
    canvas.poly([(156, 58), (164, 33), (169, 33), (168, 58)], (160, 190, 206))
    canvas.ellipse(163, 52, 5.5, 6.5, (222, 176, 140))
    canvas.rect((4, 78, 204, 100), blue)
    for index, x in enumerate(range(4, 150, 10)):
        canvas.rect((x, 78, x + 10, 83), (222, 70, 54) if index % 2 else (250, 246, 236))
    canvas.text(84, 30, "FRESH", 17, (200, 60, 44))
    canvas.text(84, 52, "PIZZA", 27, (30, 90, 60))
    canvas.ellipse(28, 42, 17, 17, (226, 176, 92), (176, 110, 50), 2.4)
    for x, y in ((22, 36), (33, 34), (28, 46), (36, 45), (19, 47)):
        canvas.ellipse(x, y, 3.2, 3.2, (196, 52, 40))
    canvas.poly([(28, 42), (46, 38), (46, 46)], cream)
    canvas.text(82, 70, "tel. 555 0123", 9, (60, 60, 80))
    canvas.line([(146, 12), (146, 98)], (160, 150, 130), 1.2)
    canvas.rect((156, 68, 166, 71), (24, 50, 80), radius=1)
    canvas.ellipse(198, 76, 4, 5, (255, 244, 190))
    canvas.rect((4, 84, 9, 94), (220, 50, 40))
    for x in (42, 164):
        canvas.ellipse(x, 99, 17, 16, (20, 30, 44))
    canvas.shade((0, 6, 206, 102), 1.08, 0.86)
    canvas.grain((0, 6, 206, 102), 14, 0.05, 4)
    return canvas.sprite()


def _vehicle(name: str, body: np.ndarray, wheels_xy: list, outline_xy: list, start_xy: tuple, speed: float) -> Thing:
    """`start_xy`: upper left corner at 0 s; `speed`: world pixels per second to the right."""
    wheel = _wheel()

    def layers(time_s: float) -> list[tuple[np.ndarray, np.ndarray]]:
        bounce = 0.6 * np.sin(9 * time_s + start_xy[0])
        pose = moved(start_xy[0] + speed * time_s, start_xy[1] + bounce)
        spin = speed * time_s / 14.5
        spun = [(wheel, pose @ moved(x, y - bounce) @ turned(spin) @ moved(-15, -15)) for x, y in wheels_xy]
        return [(body, pose), *spun]

    return Thing(name=name, layers=layers, outline_xy=outline_xy)


def street_view() -> View:
    """The camera pans right from rest to rest, held by hand; the van drives right, the car left on the near lane."""
    shake = wobble(seed=3)

    def camera(time_s: float) -> dict[str, float]:
        dx, dy, roll = shake(time_s)
        return {
            "x": 345 + PAN_SPEED * 4.0 * eased(time_s / 4.0) + 2.0 * dx,
            "y": 212 + 1.6 * dy,
            "zoom": 1.0 + 0.012 * time_s,
            "roll": 0.004 * roll,
            "tilt_x": 1.2e-5 * np.sin(0.9 * time_s),
        }

    van_outline = [(4, 8), (150, 8), (172, 27), (203, 66), (203, 100), (178, 114), (28, 114), (4, 100)]
    car_outline = [(4, 66), (5, 48), (52, 35), (80, 12), (138, 11), (181, 42), (176, 70), (146, 82), (40, 82)]
    van = _vehicle("van", _van_body(), [(42, 99), (164, 99)], van_outline, (70, 219), 112.0)
    car = _vehicle("red car", _car_body(), [(40, 67), (146, 67)], car_outline, (452, 299), -50.0)
    return View(scenery=street_scenery(), camera=camera, things=[van, car], length_s=4.0)
