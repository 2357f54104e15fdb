"""The element file of `somtom capture` to regions."""

import json
from pathlib import Path

import pytest

from schemas.capture import CapturedPage
from schemas.proposers import DomProposer, GridProposer
from tests.pictures import listed, make_picture
from transforms.proposers import build_proposer
from transforms.proposers.dom import propose_dom

SCREENS = Path(__file__).parents[3] / "demo" / "screens"


def element(box, role="button", text="Send", **more):
    plain = {"tag": "div", "clickable": True, "editable": False, "checked": False, "disabled": False}
    return {"box_xyxy": box, "role": role, "text": text, **plain, **more}


def tree(*elements, page_wh=(200, 100), **more) -> bytes:
    page = {"version": 1, "url": "page.html", "title": "Page", "language": "en", "viewport_wh": [200, 100]}
    return json.dumps({**page, "scale": 1, "page_wh": page_wh, "elements": elements, **more}).encode()


def test_elements_become_regions_as_they_are():
    page = tree(element([10, 20, 60, 40.5]), element([0, 0, 200, 10], "heading", "Überschrift", clickable=False))
    (regions,) = propose_dom([make_picture((200, 100), tree=page)])
    assert listed(regions) == [
        ((10, 20, 60, 40.5), "button", "Send", ""),
        ((0, 0, 200, 10), "heading", "Überschrift", ""),
    ]
    assert regions.score_R.tolist() == [1, 1]


def test_a_page_without_elements_has_no_regions():
    (regions,) = propose_dom([make_picture((200, 100), tree=tree())])
    assert regions.xyxy_R4.shape == (0, 4) and listed(regions) == []


@pytest.mark.parametrize(
    ("made", "role"),
    [
        (element([0, 0, 9, 9], "button", clickable=False, disabled=True), "text"),
        (element([0, 0, 9, 9], "icon", "", clickable=False, disabled=True), "image"),
        (element([0, 0, 9, 9], "input", editable=True), "input"),
        (element([0, 0, 9, 9], "input", editable=False), "text"),
        (element([0, 0, 9, 9], "text", clickable=False), "text"),
    ],
)
def test_what_does_nothing_now_is_only_seen(made, role):
    (regions,) = propose_dom([make_picture((200, 100), tree=tree(made))])
    assert regions.role_R.tolist() == [role]


def test_a_window_of_a_long_page_sees_its_own_part():
    page = tree(element([10, 420, 60, 440]), element([10, 20, 60, 40]), page_wh=(200, 1000))
    picture = make_picture((100, 50), tree=page, window_xyxy=(0, 400, 200, 500), page_wh=(200, 1000))
    (regions,) = propose_dom([picture])
    assert listed(regions) == [
        ((5, 10, 30, 20), "button", "Send", ""),
        ((5, -190, 30, -180), "button", "Send", "off_screen"),
    ]


@pytest.mark.parametrize("size_wh", [(400, 200), (100, 50), (300, 150), (133, 67), (201, 100)])
def test_a_screenshot_that_was_made_larger_or_smaller_is_followed(size_wh):
    (regions,) = propose_dom([make_picture(size_wh, tree=tree(element([100, 50, 200, 100])))])
    assert regions.xyxy_R4[0].tolist() == pytest.approx([size_wh[0] / 2, size_wh[1] / 2, *size_wh])


def test_a_screenshot_of_another_shape_is_told_with_both_sizes():
    with pytest.raises(ValueError, match=r"200x100.*100x200"):
        propose_dom([make_picture((100, 200), tree=tree())])


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b"", "no element file"),
        (b'{"version": 1', "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", r"not \[\]"),
        (b'{"a":' * 5000, "Invalid JSON"),
        (tree(version=2), r"version: .*not 2"),
        (tree(element([1, 2, 3])), r"elements\.0\.box_xyxy: .*\[1, 2, 3\]"),
        (tree(element([1, 2, 3, float("nan")])), r"finite|JSON"),
        (tree(element([0, 0, 9, 9], "knob")), "'knob' is no role"),
        (tree(page_wh=(0, 100)), r"page_wh\.0: .*not 0"),
        (tree(extra=1), "extra"),
    ],
)
def test_a_file_that_is_none_is_told(bad, told):
    with pytest.raises(ValueError, match=told) as caught:
        propose_dom([make_picture((200, 100), tree=bad)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("screen", sorted(SCREENS.glob("*.json")), ids=lambda path: path.stem)
def test_the_demo_pages_fit_their_screenshots(screen):
    page = CapturedPage.model_validate_json(screen.read_bytes())
    (regions,) = propose_dom([make_picture(page.page_wh, tree=screen.read_bytes())])
    assert len(regions.reason_R) >= 25 and not regions.reason_R.any()
    x1_R, y1_R, x2_R, y2_R = regions.xyxy_R4.T
    assert (x1_R >= 0).all() and (x1_R < x2_R).all() and (x2_R <= page.page_wh[0]).all()
    assert (y1_R >= 0).all() and (y1_R < y2_R).all() and (y2_R <= page.page_wh[1]).all()
    assert "input" in regions.role_R


def test_the_builder_gives_the_proposer_of_a_config():
    assert build_proposer(DomProposer()) is propose_dom
    (regions,) = build_proposer(GridProposer(columns=3, rows=2))([make_picture((30, 20))])
    assert len(regions.role_R) == 6
