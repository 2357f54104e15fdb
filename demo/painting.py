"""A canvas to paint scenery and sprites on, in world pixels; textures come from noise with a fixed seed.

World pixels: x right, y down, continuous (the first pixel covers 0..1). A canvas stores SCALE x SCALE samples per world
pixel, so that frames rendered from it are antialiased. Colours are RGB 0..255.
"""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SCALE = 3

Colour = tuple[int, ...]
Box = tuple[float, float, float, float]


def noise(size_wh: tuple[int, int], cell: float, seed: int, octaves: int = 3) -> np.ndarray:
    """Smooth noise HW in about -1..1; `cell` is the size of its coarsest blob in the pixels of `size_wh`."""
    rng = np.random.default_rng(seed)
    total = np.zeros(size_wh[::-1], np.float32)
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        knots_wh = [int(side / step) + 3 for side in size_wh]
        coarse = rng.uniform(-1, 1, knots_wh[::-1]).astype(np.float32)
        full_wh = [int(side * step) for side in knots_wh]
        full = cv2.resize(coarse, full_wh, interpolation=cv2.INTER_CUBIC)
        total += full[: size_wh[1], : size_wh[0]] / 2**octave
    return total


def varied(colour: Colour, rng: np.random.Generator, by: float) -> Colour:
    """The colour, lighter or darker by up to `by`, with a little drift of its hue."""
    factors = 1 + rng.uniform(-by, by) + rng.uniform(-by / 4, by / 4, 3)
    red, green, blue = (np.clip(np.array(colour[:3]) * factors, 0, 255)).astype(int).tolist()
    return red, green, blue


class Canvas:
    """An RGBA image that starts transparent (or filled) and is drawn on in world pixels."""

    def __init__(self, width: float, height: float, fill: Colour = (0, 0, 0, 0)) -> None:
        self.size_wh = (round(width * SCALE), round(height * SCALE))
        self.image = Image.new("RGBA", self.size_wh, fill)
        self.draw = ImageDraw.Draw(self.image)

    def rect(
        self, box_xyxy: Box, fill: Colour | None, outline: Colour | None = None, width: float = 1, radius: float = 0
    ) -> None:
        x0, y0, x1, y1 = (round(value * SCALE) for value in box_xyxy)
        line = round(width * SCALE) if outline else 0
        shape = (x0, y0, max(x1 - 1, x0), max(y1 - 1, y0))
        if radius:
            self.draw.rounded_rectangle(shape, radius * SCALE, fill, outline, line)
        else:
            self.draw.rectangle(shape, fill, outline, line)

    def poly(self, points_xy: list[tuple[float, float]], fill: Colour) -> None:
        self.draw.polygon([(x * SCALE, y * SCALE) for x, y in points_xy], fill)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Colour | None,
        line: Colour | None = None,
        width: float = 1,
    ) -> None:
        box = ((x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE, (y + ry) * SCALE)
        self.draw.ellipse(box, fill, line, round(width * SCALE) if line else 0)

    def line(self, points_xy: list[tuple[float, float]], fill: Colour, width: float = 1) -> None:
        points = [(x * SCALE, y * SCALE) for x, y in points_xy]
        self.draw.line(points, fill, max(1, round(width * SCALE)), joint="curve")

    def text(self, x: float, y: float, string: str, size: float, fill: Colour) -> None:
        """Text centred on x, y, in the typeface that Pillow carries (no font of the system)."""
        self.draw.text((x * SCALE, y * SCALE), string, fill, ImageFont.load_default(size * SCALE), anchor="mm")

    def grain(self, box_xyxy: Box, cell: float | tuple[float, float], amount: float, seed: int) -> None:
        """Lightens and darkens what is painted in the box; `cell` one size or (x, y) sizes of the grain."""
        x0, y0, x1, y1 = self._inside(box_xyxy)
        cell_x, cell_y = cell if isinstance(cell, tuple) else (cell, cell)
        ratio = cell_x / cell_y
        field = noise((int((x1 - x0) / ratio) + 1, y1 - y0), cell_y * SCALE, seed)
        field = cv2.resize(field, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        self._multiply((x0, y0, x1, y1), 1 + amount * field)

    def shade(self, box_xyxy: Box, top: float, bottom: float) -> None:
        """Multiplies by a factor that runs from `top` to `bottom` down the box."""
        x0, y0, x1, y1 = self._inside(box_xyxy)
        ramp = np.linspace(top, bottom, y1 - y0, dtype=np.float32)[:, None]
        self._multiply((x0, y0, x1, y1), np.broadcast_to(ramp, (y1 - y0, x1 - x0)))

    def layer(self) -> "Canvas":
        """An empty canvas of the same size, for `merge`."""
        return Canvas(self.size_wh[0] / SCALE, self.size_wh[1] / SCALE)

    def merge(self, layer: "Canvas", blur: float = 0) -> None:
        """Lays the layer over what is painted, blurred by `blur` world pixels."""
        image = layer.image
        if blur:  # premultiplied, so that the black of empty pixels does not bleed in
            image = image.convert("RGBa").filter(ImageFilter.GaussianBlur(blur * SCALE)).convert("RGBA")
        self.image.alpha_composite(image)

    def shadow(self, x: float, y: float, rx: float, ry: float, alpha: int = 110, blur: float = 3) -> None:
        layer = self.layer()
        layer.ellipse(x, y, rx, ry, (10, 10, 20, alpha))
        self.merge(layer, blur)

    def rgb(self) -> np.ndarray:
        """HW3 uint8; for scenery, which is opaque."""
        return np.array(self.image.convert("RGB"))

    def sprite(self) -> np.ndarray:
        """HW4 float32, RGB 0..255 multiplied by alpha, alpha 0..1."""
        rgba = np.array(self.image).astype(np.float32)
        rgba[..., 3] /= 255
        rgba[..., :3] *= rgba[..., 3:]
        return rgba

    def _inside(self, box_xyxy: Box) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = (round(value * SCALE) for value in box_xyxy)
        width, height = self.size_wh
        return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)

    def _multiply(self, box: tuple[int, int, int, int], factor_HW: np.ndarray) -> None:
        rgba = np.array(self.image.crop(box)).astype(np.float32)
        rgba[..., :3] *= factor_HW[..., None]
        self.image.paste(Image.fromarray(np.clip(rgba, 0, 255).astype(np.uint8)), box[:2])
        self.draw = ImageDraw.Draw(self.image)


def bricks(
    canvas: Canvas,
    box_xyxy: Box,
    brick: Colour,
    mortar: Colour,
    rng: np.random.Generator,
    size_wh: tuple[float, float] = (12, 6),
) -> None:
    """Rows of bricks (or cobbles, tiles), each with its own tint, every other row shifted by half a brick."""
    x0, y0, x1, y1 = box_xyxy
    width, height = size_wh
    canvas.rect(box_xyxy, mortar)
    for row, y in enumerate(np.arange(y0, y1, height)):
        for x in np.arange(x0 - width * (row % 2) / 2, x1, width):
            left, right, low = max(x, x0), min(x + width - 1, x1), min(y + height - 1, y1)
            if right - left > 1 and low > y:
                canvas.rect((left, y, right, low), varied(brick, rng, 0.16), radius=min(height, width) * 0.12)


def foliage(canvas: Canvas, x: float, y: float, rx: float, ry: float, green: Colour, rng: np.random.Generator) -> None:
    """A crown of leaves: dark blobs first, light ones last and to the upper left."""
    count = int(rx * ry / 14)
    for index in range(count):
        angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform())
        lift = index / count
        at_x = x + rx * radius * np.cos(angle) * 0.95 - 3 * lift
        at_y = y + ry * radius * np.sin(angle) * 0.95 - 4 * lift
        tint = tuple(int(channel * (0.55 + 0.6 * lift)) for channel in green)
        size = rng.uniform(2.5, 6) * (1.5 - 0.8 * lift)
        canvas.ellipse(at_x, at_y, size, size * 0.8, varied(tint, rng, 0.12))
