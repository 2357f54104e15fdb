"""Each trap of the dumps of Android's views, and what their views mean."""

import json
import time
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import listed, make_picture
from transforms.proposers.android import propose_android

SCREEN = (1080, 2340)
WHOLE = (0, 0, *SCREEN)


def xml(*views: str) -> bytes:
    root = node("android.widget.FrameLayout", WHOLE, *views)
    return (
        f"<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation=\"0\">{root}</hierarchy>".encode()
    )


def node(kind: str, box, *inside: str, **fields: str) -> str:
    left, top, right, bottom = box
    given = {"class": kind, "bounds": f"[{left},{top}][{right},{bottom}]", "clickable": "false"}
    given |= {name.replace("_", "-"): value for name, value in fields.items()}
    attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in given.items())
    return f"<node {attributes}>{''.join(inside)}</node>"


def regions_of(tree: bytes, size_wh=SCREEN, **options):
    (regions,) = propose_android([make_picture(size_wh, tree=tree, **options)])
    return regions


def live(tree: bytes, size_wh=SCREEN, **options):
    """(box, role, label) of what can be marked."""
    return [
        (box, role, label) for box, role, label, reason in listed(regions_of(tree, size_wh, **options)) if not reason
    ]


def droidbot(*views, size=(1080, 2340)) -> bytes:
    whole = {"class": "android.widget.FrameLayout", "bounds": [[0, 0], list(SCREEN)], "parent": -1}
    return json.dumps({"width": size[0], "height": size[1], "views": [whole, *views]}).encode()


def rico(*children, bounds=(0, 0, 1440, 2560)) -> bytes:
    root = {
        "class": "com.android.internal.policy.PhoneWindow$DecorView",
        "bounds": list(bounds),
        "children": list(children),
    }
    return json.dumps({"activity_name": "a/b", "activity": {"root": root}, "is_keyboard_deployed": False}).encode()


BUTTON = (40, 100, 440, 220)
FIELDS = ("views", "root", "bounds", "children", "class", "parent", "text", "ancestors", "content-desc", "visibility")
DUMPS = (
    xml(node("android.widget.Button", BUTTON, text="A&B", clickable="true"), node("TextView", BUTTON)),
    droidbot({"class": "View", "bounds": [[0, 0], [9, 9]], "parent": 0, "clickable": True, "text": None}),
    rico({"class": "View", "bounds": [0, 0, 9, 9], "ancestors": ["View"], "content-desc": [None], "children": None}),
)


@pytest.mark.parametrize(
    ("kind", "clickable", "role"),
    [
        ("android.widget.EditText", "true", "input"),
        ("androidx.appcompat.widget.AppCompatAutoCompleteTextView", "true", "input"),
        ("android.widget.CheckBox", "true", "checkbox"),
        ("android.widget.CheckedTextView", "true", "checkbox"),
        ("android.widget.RadioButton", "true", "radio"),
        ("androidx.appcompat.widget.SwitchCompat", "true", "switch"),
        ("android.widget.SeekBar", "false", "slider"),
        ("android.widget.Spinner", "true", "select"),
        ("android.app.ActionBar$Tab", "true", "tab"),
        ("android.widget.ImageButton", "true", "icon"),
        ("android.widget.ImageView", "true", "icon"),
        ("android.widget.ImageView", "false", "image"),
        ("com.google.android.material.button.MaterialButton", "true", "button"),
        ("android.widget.TextView", "true", "button"),
        ("android.widget.TextView", "false", "text"),
        ("android.widget.ViewSwitcher", "false", "text"),
        ("android.view.View", "true", "button"),
        ("android.widget.Button", "false", "text"),
    ],
)
def test_roles_come_from_classes_and_flags(kind, clickable, role):
    assert live(xml(node(kind, BUTTON, text="Save", clickable=clickable))) == [(BUTTON, role, "Save")]


def test_what_is_disabled_cannot_be_acted_on():
    assert live(xml(node("android.widget.Button", BUTTON, text="Save", clickable="true", enabled="false"))) == [
        (BUTTON, "text", "Save")
    ]


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"text": " Sign\n in ", "content_desc": "other"}, "Sign in"),
        ({"content_desc": "Navigate up"}, "Navigate up"),
        ({"hint": "E-mail", "resource_id": "app:id/mail"}, "E-mail"),
        ({"text": "••••", "password": "true", "hint": "Password"}, "Password"),
        ({"resource_id": "com.app:id/btn_searchMail2"}, "search mail"),
        ({"resource_id": "com.app:id/button2"}, ""),
        ({"resource_id": "com.app:id/0_resource_name_obfuscated"}, ""),
        ({"text": "true"}, "true"),
        ({"text": "word " * 100}, ("word " * 40).strip()),
    ],
)
def test_labels_are_text_then_description_then_words_of_the_id(fields, label):
    assert [found for _, _, found in live(xml(node("android.view.View", BUTTON, clickable="true", **fields)))] == [
        label
    ]


def test_a_row_that_can_be_clicked_says_what_is_in_it_and_is_one_region():
    row = node(
        "android.widget.LinearLayout",
        (0, 100, 1080, 300),
        node("android.widget.ImageView", (20, 120, 180, 280)),
        node("android.widget.TextView", (200, 120, 700, 180), text="Wi-Fi"),
        node("android.widget.TextView", (200, 190, 700, 240), text="Connected"),
        node("android.widget.TextView", (200, 250, 700, 290), text="gone", visible_to_user="false"),
        node("android.widget.Switch", (900, 150, 1060, 250), clickable="true", content_desc="Use Wi-Fi"),
        clickable="true",
    )
    assert live(xml(row)) == [
        ((0, 100, 1080, 300), "button", "Wi-Fi Connected"),
        ((900, 150, 1060, 250), "switch", "Use Wi-Fi"),
    ]


@pytest.mark.parametrize("beside", [False, True])
def test_a_compose_button_is_one_region_with_the_words_of_its_sibling(beside):
    child = node("android.widget.Button", BUTTON)
    words = node("android.widget.TextView", (100, 130, 380, 190), text="Sign in")
    if beside:
        tree = xml(node("android.view.View", BUTTON, child, clickable="true"), words)
    else:
        tree = xml(node("android.view.View", BUTTON, child, words, clickable="true"))
    assert live(tree) == [(BUTTON, "button", "Sign in")]


def test_words_beside_a_button_that_has_its_own_stay():
    words = node("android.widget.TextView", (100, 130, 380, 190), text="New")
    assert len(live(xml(node("android.view.View", BUTTON, clickable="true", text="Inbox"), words))) == 2


def test_a_picture_in_something_to_click_makes_it_an_icon():
    view = node(
        "android.view.View", BUTTON, node("android.widget.ImageView", BUTTON, content_desc="Back"), clickable="true"
    )
    assert live(xml(view)) == [(BUTTON, "icon", "Back")]


def test_a_large_view_to_click_leaves_the_words_in_it_alone():
    words = node("android.widget.TextView", BUTTON, text="Chapter one")
    tree = xml(node("android.widget.FrameLayout", (0, 0, 1080, 2000), words, clickable="true"))
    assert live(tree) == [(BUTTON, "text", "Chapter one")]


def test_what_only_holds_others_is_a_container():
    tree = xml(
        node("android.widget.LinearLayout", (0, 0, 500, 500), node("android.widget.TextView", BUTTON, text="One"))
    )
    assert [(role, reason) for _, role, _, reason in listed(regions_of(tree))] == [
        ("container", "container"),
        ("container", "container"),
        ("text", ""),
    ]


def test_the_drawing_order_is_that_of_the_tree():
    tree = droidbot(
        {"class": "TextView", "text": "second", "bounds": [[0, 300], [99, 350]], "parent": 2},
        {"class": "LinearLayout", "bounds": [[0, 200], [99, 400]], "parent": 0},
        {"class": "TextView", "text": "third", "bounds": [[0, 500], [99, 550]], "parent": 0},
    )
    assert [label for _, _, label in live(tree)] == ["second", "third"]


def test_width_and_height_that_are_exchanged_do_not_matter():
    view = {"class": "Button", "text": "OK", "clickable": True, "bounds": [[40, 100], [440, 220]], "parent": 0}
    for size in ((2340, 1080), (1080, 2340), (0, 0)):
        assert live(droidbot(view, size=size)) == [(BUTTON, "button", "OK")]


def test_boxes_are_scaled_to_the_picture():
    child = {"class": "android.widget.Button", "text": "OK", "clickable": True, "bounds": [144, 256, 720, 512]}
    assert live(rico(child), (1080, 1920)) == [((108, 192, 540, 384), "button", "OK")]
    assert live(rico(child, bounds=(0, 0, 1440, 2392)), (1080, 1920)) == [((108, 192, 540, 384), "button", "OK")]


@pytest.mark.parametrize("root", [(60, 700, 1020, 1500), (0, 0, 1080, 2208), (0, 0, 1020, 2340)])
def test_a_dialog_and_a_screen_without_its_bar_are_not_scaled(root):
    box = (100, 800, 300, 900)
    tree = f"<hierarchy>{node('FrameLayout', root, node('TextView', box, text='Sure?'))}</hierarchy>".encode()
    assert live(tree) == [(box, "text", "Sure?")]


def test_a_tree_of_a_screen_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"span 1440 x 2560.*picture of 1920 x 1080"):
        regions_of(rico({"class": "TextView", "bounds": [0, 0, 9, 9]}), (1920, 1080))


def test_only_what_lies_in_the_window_can_be_marked_there():
    tree = xml(
        node("android.widget.TextView", (0, 100, 200, 150), text="above"),
        node("android.widget.TextView", (0, 1100, 200, 1150), text="inside"),
    )
    regions = regions_of(tree, (540, 500), window_xyxy=(0, 1000, 1080, 2000), page_wh=SCREEN)
    assert listed(regions)[1:] == [
        ((0, -450, 100, -425), "text", "above", "off_screen"),
        ((0, 50, 100, 75), "text", "inside", ""),
    ]


def test_bounds_outside_the_screen_are_off_screen():
    tree = xml(
        node("TextView", (1200, 100, 1500, 200), text="next page"), node("TextView", (0, -200, 9, -1), text="above")
    )
    assert regions_of(tree).reason_R.tolist() == ["container", "off_screen", "off_screen"]
    far = droidbot({"class": "TextView", "text": "far", "bounds": [[10**400, 0], [-(10**400), 9]], "parent": 0})
    assert np.isfinite(regions_of(far).xyxy_R4).all() and live(far) == []


@pytest.mark.parametrize("bounds", [[[50, 90], [10, 20]], [[0, 0], [0, 0]], [[1, 2], [3, None]], None, [[1, 2]], "x"])
def test_bounds_that_are_none_cost_their_view_alone(bounds):
    bad = {"class": "TextView", "text": "bad", "bounds": bounds, "parent": 0}
    good = {"class": "TextView", "text": "good", "bounds": [[10, 10], [90, 40]], "parent": 0}
    assert regions_of(droidbot(bad, good)).reason_R.tolist() == ["container", "zero_area", ""]


def test_a_tree_whose_views_all_have_no_bounds_is_refused():
    with pytest.raises(ValueError, match=r"none of the 2 views has bounds"):
        regions_of(b'<hierarchy><node class="a" bounds="[0,0][0,0]"><node class="b"/></node></hierarchy>')


def test_what_is_not_shown_is_hidden_with_all_in_it():
    leaf = {"class": "TextView", "text": "leaf", "bounds": [0, 0, 99, 99]}
    tree = rico(
        {
            "class": "LinearLayout",
            "bounds": [0, 0, 500, 500],
            "visibility": "gone",
            "children": [{**leaf, "visible-to-user": True}],
        },
        {"class": "LinearLayout", "bounds": [0, 0, 500, 500], "visible-to-user": False, "children": [leaf, None]},
        {**leaf, "visible-to-user": True, "text": "seen"},
    )
    regions = regions_of(tree, (1440, 2560))
    assert regions.reason_R.tolist() == ["container", "hidden", "hidden", "hidden", "hidden", ""]


def under_a_cover(kind: str, *inside: str, box=(140, 700, 940, 1400), **fields: str) -> str:
    """The reason of a button under a view."""
    button = node("android.widget.Button", (400, 900, 700, 1000), text="Buy", clickable="true")
    regions = regions_of(xml(button, node(kind, box, *inside, **fields)))
    return {label: reason for _, _, label, reason in listed(regions)}["Buy"]


def test_what_lies_under_a_dialog_is_covered():
    words = node("android.widget.TextView", (160, 720, 920, 800), text="Delete all?")
    button = node("android.widget.Button", (700, 1300, 920, 1380), text="Yes", clickable="true")
    assert under_a_cover("android.widget.FrameLayout", words, button, clickable="true") == "covered"
    assert under_a_cover("android.widget.FrameLayout", words, button, resource_id="app:id/dialog_panel") == "covered"
    assert under_a_cover("android.widget.FrameLayout", words, button) == "", "it may be transparent"
    assert under_a_cover("android.widget.FrameLayout", clickable="true") == "", "nothing is shown there"
    assert under_a_cover("android.widget.FrameLayout", words, clickable="true") == "", (
        "a strip on a pane that may be clear"
    )
    away = under_a_cover("app.Dialog", words, button, box=(0, 1100, 1080, 2340))
    assert away == "", "its middle is free"


def test_a_dialog_does_not_cover_what_is_in_it_or_holds_it():
    button = node("android.widget.Button", (300, 800, 800, 1300), text="Yes", clickable="true")
    (found,) = live(xml(node("app.Dialog", (200, 700, 900, 1400), button)))
    assert found[2] == "Yes"


def test_ricos_annotations_tell_roles():
    tree = rico(
        {
            "class": "android.widget.FrameLayout",
            "componentLabel": "Text Button",
            "bounds": [0, 0, 200, 80],
            "clickable": True,
            "text": "Go",
        },
        {
            "class": "app.Own",
            "componentLabel": "Icon",
            "iconClass": "arrow_backward",
            "bounds": [0, 100, 80, 180],
            "clickable": True,
        },
        {
            "class": "app.Own",
            "ancestors": ["android.widget.EditText", "android.view.View"],
            "bounds": [0, 200, 400, 280],
            "text-hint": "Name",
        },
        {"class": "app.Own", "content-desc": [None, "Logo"], "bounds": [0, 300, 80, 380]},
    )
    root = json.loads(tree)["activity"]["root"]
    expected = [("button", "Go"), ("icon", "arrow backward"), ("input", "Name"), ("image", "Logo")]
    for data in (tree, json.dumps(root).encode(), json.dumps(json.dumps(root)).encode()):
        assert [(role, label) for _, role, label in live(data, (1440, 2560))] == expected


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (b"", "no tree of views"),
        (b"<hierarchy><node class=", "the XML is broken"),
        (b"<html>no</html>", "holds no views"),
        (b"<?xml version='1.0' encoding='rot13'?><hierarchy/>", "the XML is broken"),
        (b'{"views": [', "the tree holds no JSON"),
        (b'"views: none"', "the tree is a string that holds no JSON"),
        (b"[1, 2]", r"the tree is \[1, 2\]"),
        (b'{"width": 3}', "holds no views"),
        (b'{"activity": null}', "holds no views"),
        (b'{"activity": {"root": null}}', "holds no views"),
        (b'{"views": {"0": {}}}', "give a list of objects"),
        (b'{"bounds": [0, 0, 9, 9], "children": "none"}', "has the children"),
        (b'{"children":[' * 100_000, "nested too deeply"),
        (b"\xff\xff\xff", "holds no JSON"),
    ],
)
def test_what_is_no_dump_is_refused_with_what_is_wrong(tree, says):
    with pytest.raises(ValueError, match=says):
        regions_of(tree)


def test_parents_in_a_circle_are_refused():
    views = [{"class": "View", "bounds": [[0, 0], [9, 9]], "parent": parent} for parent in (0, 3, 2)]
    with pytest.raises(ValueError, match=r"parents of view 2 go in a circle"):
        regions_of(droidbot(*views))
    for parent in (7, None, "0", -2):
        with pytest.raises(ValueError, match=r"view 1 has the parent"):
            regions_of(droidbot({"class": "View", "parent": parent}))


def test_xml_that_would_grow_without_end_is_refused():
    bomb = (
        b'<!DOCTYPE a [<!ENTITY b "'
        + b"x" * 99
        + b'"><!ENTITY c "&b;&b;&b;">]><hierarchy><node class="&c;"/></hierarchy>'
    )
    with pytest.raises(ValueError, match="DOCTYPE"):
        regions_of(bomb)


def test_what_uiautomator_says_behind_the_tree_is_left_alone():
    tree = xml(node("TextView", BUTTON, text="Hello"))
    assert live(b"\xef\xbb\xbf\n" + tree + b"\nUI hierchary dumped to: /dev/tty\n") == live(tree)


def wide_tree(count: int) -> bytes:
    rows = [
        {
            "class": ("android.view.View", "TextView")[n % 2],
            "clickable": n % 2 == 0,
            "text": "" if n % 3 else f"row {n}",
        }
        | {"bounds": [[0, n % 2000], [500, n % 2000 + 60]], "parent": 0}
        for n in range(count)
    ]
    return droidbot(*rows)


def deep_tree(count: int) -> bytes:
    box = 'bounds="[0,0][1080,2340]"'
    return f'<node class="app.Dialog" text="x" {box}>'.encode() * count + b"</node>" * count


def ladder(count: int) -> bytes:
    """Each view holds one to click without words and the rest of the tree."""
    first = node("View", WHOLE)[: -len("</node>")]
    step = node("View", (0, 0, 9, 9), clickable="true") + '<node class="View" bounds="[0,0][9,9]">'
    return (first + step * (count // 2) + "</node>" * (count // 2 + 1)).encode()


@pytest.mark.slow
@pytest.mark.parametrize(("make", "count"), [(wide_tree, 50_000), (deep_tree, 50_000), (ladder, 15_000)])
def test_tens_of_thousands_of_views_take_no_recursion_and_little_time(make, count):
    tree = make(count)
    start_s = time.process_time()
    regions = regions_of(tree)
    assert time.process_time() - start_s < 4, "2 s on a machine that does nothing else"
    assert count // 2 <= len(regions.role_R) <= count + 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3000) | st.floats() | st.sampled_from(["", "a.TextView", "[0,0][9,9]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional={"views": VALUES, "activity": VALUES, "bounds": VALUES, "children": VALUES}))
def test_json_of_any_kind_gives_regions_or_a_value_error(value):
    try:
        regions_of(json.dumps(value).encode())
    except ValueError:
        return


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_dumps_give_regions_or_a_value_error(draw):
    data = bytearray(draw.draw(st.sampled_from(DUMPS)))
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(data) - 1))
        data[start : start + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
    try:
        regions_of(bytes(data))
    except ValueError:
        return


def test_pictures_are_told_apart():
    trees = [xml(node("TextView", BUTTON, text=text)) for text in ("one", "two")]
    found = propose_android([make_picture(SCREEN, tree=tree) for tree in trees])
    assert [regions.label_R.tolist()[-1] for regions in found] == ["one", "two"]
    assert propose_android([]) == []
