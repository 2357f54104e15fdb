"""Rows of a manifest to records; a bad row says what is wrong and what would be right."""

import math
from decimal import Decimal
from typing import Any

import pytest

from transforms.datasets.manifest import parse_manifest


def test_only_the_uri_is_needed() -> None:
    record = parse_manifest({"uri": " a.mp4 "}, licence="CC0")
    assert (record.record_id, record.uri, record.start_s, record.text, record.licence) == (
        "a.mp4",
        "a.mp4",
        0,
        "",
        "CC0",
    )
    assert math.isinf(record.end_s)


def test_a_full_row() -> None:
    row = {
        "uri": "a.mp4", "start_s": "1.5", "end_s": Decimal("3"), "text": "old", "text_override": "new",
        "id": 7, "licence": "MIT", "other": object(),
    }  # fmt: skip
    record = parse_manifest(row, licence="CC0")
    assert (record.record_id, record.start_s, record.end_s, record.text, record.licence) == (
        "7",
        1.5,
        3.0,
        "new",
        "MIT",
    )


def test_segments_of_one_video_have_ids_of_their_own() -> None:
    ids = {parse_manifest({"uri": "a.mp4", "start_s": s, "end_s": s + 1}, licence="").record_id for s in (0, 1, 1.5)}
    assert ids == {"a.mp4#0.0-1.0", "a.mp4#1.0-2.0", "a.mp4#1.5-2.5"}


def test_ids_tell_near_times_apart() -> None:
    near = [parse_manifest({"uri": "a.mp4", "start_s": s}, licence="").record_id for s in (12345.61, 12345.64)]
    assert near[0] != near[1]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, "uri is empty"),
        ({"uri": ""}, "uri is empty"),
        ({"uri": "a", "start_s": 5, "end_s": 3}, "end_s 3 does not come after start_s 5"),
        ({"uri": "a", "start_s": 3, "end_s": 3}, "does not come after"),
        ({"uri": "a", "start_s": math.nan}, "start_s is nan"),
        ({"uri": "a", "end_s": "NaN"}, "end_s is nan"),
        ({"uri": "a", "start_s": -1}, "start_s is -1.0"),
        ({"uri": "a", "start_s": "1:30"}, "start_s is '1:30'; give seconds"),
        ({"uri": "a", "start_s": math.inf}, "start_s is inf"),
    ],
)
def test_bad_rows(row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_manifest(row, licence="")
