"""The steps that screens and pictures share: a record -> its pictures -> pixels -> regions -> marks."""

import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines import sources, store
from pipelines.batches import made_up_picture, network_step
from pipelines.driver import Step
from pipelines.weights import weights_file
from schemas.flow import (
    BadRow,
    BoxMark,
    MarkedPicture,
    Picture,
    Proposed,
    Proposer,
    Ref,
    Regions,
    Rejected,
    Screen,
    Unpacker,
)
from schemas.jobs import PictureJob
from schemas.page import Page
from schemas.pictures import BoxMarksConfig, PictureConfig, PictureSourceConfig, PicturesSource
from schemas.proposers import RegionsConfig
from schemas.ui_datasets import RicoRefExpFiles
from transforms.box_drawing import draw_box_marks, mark_colours, outline_seen
from transforms.datasets import build_unpacker
from transforms.images import decode_image, image_size
from transforms.keys import picture_key, rng_for
from transforms.page_windows import Window, in_pixels, page_windows, seen_through
from transforms.proposers import build_proposer
from transforms.regions import chosen, filtered, unchosen
from transforms.ui_targets import region_of, with_targets

Pixels = npt.NDArray[np.uint8]

_FEWER = 0.75
"""of the marks are tried next where a label can't be read"""
_SEEN = 0.2
"""share of an outline that has to be left over by labels and by other outlines"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenPictures:
    """A record's pictures: the one that it is, or those that its file holds."""

    ref: Ref
    screens: Iterator[Screen | BadRow]
    tree: bytes
    files: ExitStack

    def close(self) -> None:
        self.files.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A window of a picture before decoding; `page` is of the whole picture, in its pixels."""

    key: str
    ref: Ref
    record_id: str
    picture: bytes | Pixels
    page: Page
    page_wh: tuple[int, int]
    window: Window
    tree: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unread:
    """A row of a file that is no picture; `error` says what is wrong with it."""

    error: str


class PictureOpener:
    """Opens the records of one source."""

    def __init__(self, config: PictureJob) -> None:
        self._source = config.source
        self._unpack: Unpacker | None = build_unpacker(config.source)

    def open(self, ref: Ref, beat: Callable[[], None] = lambda: None) -> OpenPictures:
        """Opens a file that holds pictures, or reads the one that it is, with the tree beside it."""
        where = sources.locate(self._source.root, ref.uri)
        if self._unpack is None:
            page = Page.model_validate_json(ref.page) if ref.page else Page()
            picture = _read_picture(where)
            tree = _read_tree(self._source, where) if picture is not None else b""
            screen = Screen(record_id=ref.record_id, page=page, picture=picture)
            return OpenPictures(ref=ref, screens=iter([screen]), tree=tree, files=ExitStack())
        with ExitStack() as files:
            screens = self._unpack(files.enter_context(store.reading(where)))
            return OpenPictures(ref=ref, screens=screens, tree=b"", files=files.pop_all())


def split_pictures(
    opened: OpenPictures, config: PictureJob, beat: Callable[[], None] = lambda: None
) -> Iterator[tuple[str, Found | Unread | Rejected]]:
    """The windows of each of a record's pictures, or why one has none."""
    for number, screen in enumerate(opened.screens):
        beat()
        found = Unread(error=screen.error) if isinstance(screen, BadRow) else _find(screen, number, opened, config)
        if isinstance(found, list):
            yield from ((one.key, one) for one in found)
        else:
            yield picture_key(opened.ref.record_key, number, 0), found


def _find(screen: Screen, number: int, opened: OpenPictures, config: PictureJob) -> list[Found] | Unread | Rejected:
    """The windows of a picture; what is no picture costs its own item only."""
    picture = _picture_of(screen, config)
    if picture is None:
        return Rejected(reason="no_image", value=0, threshold=1)
    try:
        width, height = image_size(picture) if isinstance(picture, bytes) else (picture.shape[1], picture.shape[0])
    except ValueError as error:
        return Unread(error=str(error))
    most, least = config.picture.max_pixels, config.picture.min_side_px
    if width * height > most:
        return Rejected(reason="too_large", value=width * height, threshold=most)
    if min(width, height) < least:
        return Rejected(reason="too_small", value=min(width, height), threshold=least)
    page = in_pixels(screen.page, (width, height))
    windows = page_windows(
        (width, height), page, max_ratio=config.picture.max_ratio, window_px=config.picture.window_px
    )
    return [
        Found(
            key=picture_key(opened.ref.record_key, number, place),
            ref=opened.ref,
            record_id=screen.record_id,
            picture=picture,
            page=page,
            page_wh=(width, height),
            window=window,
            tree=opened.tree,
        )
        for place, window in enumerate(windows)
    ]


def _read_picture(where: str) -> bytes | None:
    """The bytes of a picture file; None where there is none."""
    return store.read_bytes(where) if store.exists(where) else None


def _read_tree(source: PictureSourceConfig, where: str) -> bytes:
    """The file beside a picture that tells its elements, where the source has such files."""
    if not isinstance(source, PicturesSource) or not source.tree:
        return b""
    return store.read_bytes(f"{posixpath.splitext(where)[0]}{source.tree}")


def _picture_of(screen: Screen, config: PictureJob) -> bytes | Pixels | None:
    """A screen's picture: its own, or the file that it names."""
    folder = config.source.pictures if isinstance(config.source, RicoRefExpFiles) else ""
    if screen.picture is not None or not (screen.uri and folder):
        return screen.picture
    return _read_picture(sources.locate(folder, screen.uri))


class PictureDecoder:
    """Decodes windows; remembers the last picture, for the windows of one come one after the other."""

    def __init__(self, config: PictureConfig) -> None:
        self._config = config
        self._last: tuple[bytes | Pixels, Pixels] | None = None

    def decode(self, found: Found | Unread) -> Picture | Rejected:
        """The pixels of a window, shrunk where the config says so; ValueError for what is no picture."""
        if isinstance(found, Unread):
            raise ValueError(found.error)
        whole_HW3 = self._whole(found.picture)
        left, top, right, bottom = found.window
        image_HW3 = _shrunk(whole_HW3[top:bottom, left:right], self._config.max_side_px)
        size_wh = (image_HW3.shape[1], image_HW3.shape[0])
        if min(size_wh) < self._config.min_side_px:
            return Rejected(reason="too_small", value=min(size_wh), threshold=self._config.min_side_px)
        return Picture(
            key=found.key,
            ref=found.ref,
            record_id=found.record_id,
            image_HW3=image_HW3,
            window_xyxy=found.window,
            page_wh=found.page_wh,
            page=seen_through(found.page, found.window, size_wh),
            tree=found.tree,
        )

    def _whole(self, picture: bytes | Pixels) -> Pixels:
        if isinstance(picture, np.ndarray):
            return picture
        if self._last is None or self._last[0] is not picture:
            decoded = decode_image(picture, self._config.max_pixels)
            if isinstance(decoded, Rejected):  # its size was looked at before
                raise ValueError(f"the picture has {decoded.value:g} pixels, of which its header did not tell")
            self._last = (picture, decoded)
        return self._last[1]


def _shrunk(image_HW3: Pixels, max_side_px: int) -> Pixels:
    longest = max(image_HW3.shape[:2])
    if not max_side_px or longest <= max_side_px:
        return np.ascontiguousarray(image_HW3)
    height, width = (max(1, round(side * max_side_px / longest)) for side in image_HW3.shape[:2])
    shrunk_HW3: Pixels = cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA)
    return shrunk_HW3


def propose_step(config: PictureJob, proposer: Proposer | None = None) -> Step:
    """The step that finds regions; `proposer` replaces the configured one."""
    found = proposer or build_proposer(config.proposer, weights_file(config.proposer, "proposer"), config.run.device)
    width = config.picture.max_side_px or config.picture.window_px
    return network_step(
        "propose",
        lambda pictures: propose(pictures, found, config.regions),
        config.proposer,
        config.run,
        once=lambda: found([made_up_picture((width, config.picture.window_px))]),
    )


def propose(pictures: Sequence[Picture], proposer: Proposer, config: RegionsConfig) -> list[Proposed]:
    """Candidates for marks with the reasons of those that can't be marked; what a dataset asks for can."""
    proposed = []
    for picture, regions in zip(pictures, proposer(pictures), strict=True):
        regions = with_targets(filtered(regions, picture.image_HW3, config), picture.page.tasks)
        proposed.append(Proposed(picture=picture, regions=regions))
    return proposed


def mark(proposed: Proposed, config: BoxMarksConfig, *, seed: int, first_id: int) -> MarkedPicture | Rejected:
    """Chooses what is marked, numbers it in reading order and draws it; fewer where so many can't be read."""
    tasks, regions = proposed.picture.page.tasks, proposed.regions
    wanted = [region for task in tasks if (region := region_of(task, regions)) >= 0]
    most = config.most
    while True:
        numbers = chosen(regions, most=most, wanted=wanted, rng=rng_for(seed, proposed.picture.key, "marks"))
        if len(numbers) < config.least:
            return Rejected(reason="too_few_regions", value=len(numbers), threshold=config.least)
        marked = _drawn(proposed.picture, unchosen(regions, numbers), numbers, first_id)
        legibility, seen = marked.legibility["legibility"], _least_seen(marked)
        if legibility >= config.min_legibility and seen >= _SEEN:
            return marked
        most = int(len(numbers) * _FEWER)
        if most < max(config.least, len(set(wanted))):
            if legibility < config.min_legibility:
                return Rejected(reason="illegible", value=legibility, threshold=config.min_legibility)
            return Rejected(reason="illegible", value=seen, threshold=_SEEN)


def _least_seen(marked: MarkedPicture) -> float:
    """The share of its outline that is left of the box that is buried most."""
    boxes = [(mark.id, mark.box_xyxy) for mark in marked.marks]
    colours = mark_colours(boxes, marked.picture.size_wh)
    seen = (outline_seen(marked.marked_HW3, box, colour) for (_, box), colour in zip(boxes, colours, strict=True))
    return min(seen, default=1.0)


def _drawn(picture: Picture, regions: Regions, numbers: Sequence[int], first_id: int) -> MarkedPicture:
    marks = tuple(_box_mark(number, regions, mark_id) for mark_id, number in enumerate(numbers, start=first_id))
    others = [_box(number, regions) for number in np.flatnonzero(regions.reason_R == "not_chosen").tolist()]
    marked_HW3, legibility = draw_box_marks(picture.image_HW3, [(one.id, one.box_xyxy) for one in marks], others)
    return MarkedPicture(picture=picture, regions=regions, marks=marks, marked_HW3=marked_HW3, legibility=legibility)


def _box_mark(number: int, regions: Regions, mark_id: int) -> BoxMark:
    x1, y1, x2, y2 = _box(number, regions)
    x, y = ((x1 + x2) / 2, (y1 + y2) / 2) if regions.point_R2 is None else regions.point_R2[number].tolist()
    return BoxMark(id=mark_id, region=number, xy=(round(x, 2), round(y, 2)), box_xyxy=(x1, y1, x2, y2))


def _box(number: int, regions: Regions) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(float(side), 2) for side in regions.xyxy_R4[number])
    return x1, y1, x2, y2
