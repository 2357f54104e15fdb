from typing import Any

import numpy as np
import pytest

from schemas.flow import Picture, Ref, Regions
from schemas.page import Page
from schemas.proposers import PixelsProposer
from schemas.roles import ROLES
from tests.transforms.screens import BLUE, GREY, Screen
from transforms.boxes import share_inside
from transforms.proposers.pixels import Region, build_pixels, compose


def form() -> Screen:
    """A heading, a paragraph of two lines, a labelled field, two buttons, an icon, a photo."""
    screen = Screen(640, 420)
    screen.text(40, 50, "Your account", 26)
    screen.text(40, 96, "Change here what others can see of you, and", 15, GREY)
    screen.text(40, 118, "how we may reach you.", 15, GREY)
    screen.text(40, 160, "Full name", 15)
    screen.draw.rounded_rectangle((40, 170, 359, 205), 4, outline=(200, 206, 212))
    screen.text(52, 192, "Ada Byron", 15, GREY)
    screen.draw.rounded_rectangle((40, 240, 139, 275), 6, fill=BLUE)
    screen.text(70, 263, "Save", 15, (255, 255, 255))
    screen.draw.rounded_rectangle((160, 240, 259, 275), 6, outline=BLUE)
    screen.text(187, 263, "Cancel", 15, BLUE)
    screen.draw.ellipse((580, 30, 592, 42), outline=GREY, width=2)
    screen.draw.line((591, 41, 597, 47), fill=GREY, width=2)
    return screen


def with_photo(screen: Screen) -> Any:
    image_HW3 = screen.image_HW3.copy()
    image_HW3[240:400, 400:600] = np.random.default_rng(0).integers(40, 220, (160, 200, 3))
    return image_HW3


def at(regions: list[Region], *box: float) -> Region:
    """The region that is nearest to a box."""
    return min(regions, key=lambda region: float(np.abs(np.subtract(region.box, box)).sum()))


def test_a_form_is_seen_as_people_see_it() -> None:
    screen = form()
    found = list(compose(with_photo(screen), screen.lines))
    assert [(region.role, region.label) for region in found if region.label] == [
        ("input", "Ada Byron"),
        ("button", "Save"),
        ("button", "Cancel"),
        ("text", "Your account"),
        ("text", "Change here what others can see of you, and how we may reach you."),
        ("text", "Full name"),
    ]
    assert np.abs(np.subtract(at(found, 40, 170, 360, 206).box, (40, 170, 360, 206))).max() <= 2
    icon, photo = [region for region in found if not region.label]
    assert (icon.role, photo.role) == ("icon", "image")
    assert share_inside((580, 30, 598, 48), icon.box) == 1
    assert np.abs(np.subtract(photo.box, (400, 240, 600, 400))).max() <= 15
    assert all(0 <= region.score <= 1 and region.role in ROLES for region in found)


def test_the_menu_of_a_sidebar_has_a_row_for_each_item() -> None:
    screen = Screen(900, 600)
    screen.draw.rectangle((0, 0, 199, 599), fill=(33, 37, 41))
    for n, name in enumerate(("Inbox", "Drafts", "Sent mail", "Waste")):
        y = 100 + 44 * n
        screen.draw.rectangle((20, y - 12, 32, y), outline=(180, 180, 190), width=2)
        screen.text(48, y, name, 15, (210, 212, 215))
    rows = [region for region in compose(screen.image_HW3, screen.lines) if region.role == "menuitem"]
    assert [row.label for row in rows] == ["Inbox", "Drafts", "Sent mail", "Waste"]
    assert all(row.box[0] == 0 and abs(row.box[2] - 200) <= 2 for row in rows)
    assert all(36 <= row.box[3] - row.box[1] <= 46 for row in rows)


def test_cells_of_a_table_are_words_not_buttons() -> None:
    screen = Screen(640, 300, (255, 255, 255))
    for row in range(4):
        for column in range(3):
            x, y = 40 + 180 * column, 40 + 40 * row
            screen.draw.rectangle((x, y, x + 180, y + 40), outline=(210, 214, 218))
            screen.text(x + 12, y + 26, f"Cell {row}{column}", 15)
    found = list(compose(screen.image_HW3, screen.lines))
    assert [region.role for region in found] == ["text"] * 12


def test_a_character_that_nobody_is_sure_of_is_a_drawing() -> None:
    screen = Screen(400, 120)
    screen.text(40, 60, "Settings", 15)
    screen.text(300, 60, "%", 15)
    found = list(compose(screen.image_HW3, screen.lines))
    assert [(region.role, region.label) for region in found] == [("text", "Settings"), ("icon", "")]


def test_a_blank_picture_has_no_regions() -> None:
    assert list(compose(np.full((200, 300, 3), 255, dtype=np.uint8), [])) == []
    assert list(compose(np.full((1, 1, 3), 255, dtype=np.uint8), [])) == []


@pytest.fixture(scope="module")
def proposed() -> list[Regions]:
    pytest.importorskip("rapidocr", reason="reading words needs pip install '.[ui]'")
    propose = build_pixels(PixelsProposer())
    screen = form()
    picture = a_picture(with_photo(screen))
    empty = a_picture(np.full((64, 64, 3), 255, dtype=np.uint8))
    return [*propose([picture, empty]), *propose([picture])]


def a_picture(image_HW3: Any) -> Picture:
    height, width = image_HW3.shape[:2]
    ref = Ref(
        record_key="a",
        record_id="a",
        source_key="a",
        split="train",
        uri="a.png",
        part=0,
        start_s=0,
        end_s=0,
        text="",
        licence="",
        cost=1,
    )
    return Picture(
        key="a",
        ref=ref,
        record_id="a",
        image_HW3=image_HW3,
        window_xyxy=(0, 0, width, height),
        page_wh=(width, height),
        page=Page(),
    )


@pytest.mark.slow
def test_what_is_read_from_the_pixels_alone_is_the_same_form(proposed: list[Regions]) -> None:
    regions = proposed[0]
    named = dict(zip(regions.label_R.tolist(), regions.role_R.tolist(), strict=True))
    assert {name: named[name] for name in ("Save", "Cancel", "Ada Byron", "Your account")} == {
        "Save": "button",
        "Cancel": "button",
        "Ada Byron": "input",
        "Your account": "text",
    }
    assert any(label.startswith("Change here") and label.endswith("reach you.") for label in named)
    assert set(regions.reason_R.tolist()) == {""}


def test_a_picture_without_anything_is_not_a_failure(proposed: list[Regions]) -> None:
    assert proposed[1].xyxy_R4.shape == (0, 4)


def test_the_same_pixels_give_the_same_regions(proposed: list[Regions]) -> None:
    for name in ("xyxy_R4", "score_R", "label_R", "role_R"):
        assert (getattr(proposed[0], name) == getattr(proposed[2], name)).all()
