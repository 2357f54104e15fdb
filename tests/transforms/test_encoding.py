"""Encoding: fixed members, the same bytes from the same sample, and back again."""

import hashlib
import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from schemas.sample import ARRAYS
from schemas.tables import INDEX
from tests import fixtures
from transforms.encoding import decode_arrays, decode_sample, encode_arrays, encode_sample


@pytest.mark.parametrize("make", fixtures.MAKERS)
def test_decoding_gives_back_what_was_encoded(make):
    finished = make(3)
    members = dict(encode_sample(finished, jpeg_quality=95).members)
    assert decode_sample(members["json"]) == finished.sample
    arrays = decode_arrays(members["npz"]) if "npz" in members else {}
    assert list(arrays) == list(finished.arrays)
    for name, array in finished.arrays.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert ARRAYS[name] == "string" or arrays[name].dtype == ARRAYS[name]
    for name, image in finished.images.items():
        decoded = np.asarray(PillowImage.open(io.BytesIO(members[name])), np.int16)
        assert decoded.shape == image.shape
        assert np.abs(decoded - image).mean() < 6


@pytest.mark.parametrize(
    ("make", "want"),
    [
        (fixtures.text_only, ["json"]),
        (fixtures.chat, ["json", "jpg"]),
        (fixtures.video_tom, ["json", "jpg", "clean.jpg", "npz"]),
        (fixtures.multi_image, ["json", "jpg", "clean.jpg", "img01.jpg"]),
        (fixtures.history, ["json", "jpg", "clean.jpg", "img01.jpg", "img02.jpg", "npz"]),
    ],
)
def test_members_have_one_order_whatever_the_order_given(make, want):
    finished = make(0)
    turned = replace(finished, images=dict(reversed(finished.images.items())))
    for given in (finished, turned):
        assert [suffix for suffix, _ in encode_sample(given, jpeg_quality=90).members] == want


_PRINT_HASHES = """
import hashlib
from tests import fixtures
from transforms.encoding import encode_sample
for make in fixtures.MAKERS:
    made = encode_sample(make(1), jpeg_quality=95)
    print(hashlib.sha256(repr((made.key, made.members, made.index_row)).encode()).hexdigest())
"""


def test_same_sample_same_bytes_in_every_process():
    command = [sys.executable, "-c", _PRINT_HASHES]
    root = Path(__file__).parents[2]
    elsewhere = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    for _ in range(2):
        made = [encode_sample(make(1), jpeg_quality=95) for make in fixtures.MAKERS]
        here = [hashlib.sha256(repr((one.key, one.members, one.index_row)).encode()).hexdigest() for one in made]
        assert here == elsewhere


def test_memory_layout_does_not_show_in_the_bytes():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    given = [encode_arrays({"regions_xyxy_R4": layout}) for layout in (array, np.asfortranarray(array))]
    assert given[0] == given[1]


def test_arrays_are_stored_in_the_contracts_types_and_with_a_fixed_time():
    data = encode_arrays({"times_s_T": np.arange(3, dtype=np.float32), "regions_score_R": np.ones(2)})
    arrays = decode_arrays(data)
    assert (arrays["times_s_T"].dtype, arrays["regions_score_R"].dtype) == (np.float64, np.float32)
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(data)).infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("tracks_TN2", np.zeros((1, 1, 2)), "not in the contract"),
        ("tracks_xy_TN2", np.zeros((1, 2)), "3 axes"),
        ("visible_TN", np.zeros((1, 2)), "want bool"),
        ("regions_label_R", np.array(["a"], object), "want string"),
        ("regions_label_R", np.array([1]), "want string"),
    ],
)
def test_arrays_outside_the_contract_are_refused(name, array, message):
    with pytest.raises(ValueError, match=message):
        encode_arrays({name: array})


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({}, "uses image 'jpg'"),
        ({"jpg": fixtures.picture(0, (8, 8))}, "is 8x8, declared 64x48"),
        ({"jpg": fixtures.picture(0)[:, :, 0]}, "want uint8"),
        ({"jpg": fixtures.picture(0), "img01.jpg": fixtures.picture(0)}, "in no turn"),
        ({"jpg": fixtures.picture(0), "img1.jpg": fixtures.picture(0)}, "image member 'img1.jpg'"),
    ],
)
def test_images_must_be_those_of_the_annotation(images, message):
    with pytest.raises(ValueError, match=message):
        encode_sample(replace(fixtures.chat(0), images=images), jpeg_quality=90)


def test_pickled_arrays_are_not_opened():
    buffer = io.BytesIO()
    np.savez(buffer, regions_label_R=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        decode_arrays(buffer.getvalue())


def test_red_marks_stay_crisp():
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, ::2] = (255, 0, 0)
    members = dict(encode_sample(replace(fixtures.chat(0), images={"jpg": image}), jpeg_quality=95).members)
    decoded = np.asarray(PillowImage.open(io.BytesIO(members["jpg"])), np.int16)
    assert np.abs(decoded - image).mean() < 3  # halved colour resolution gives more than 20


@pytest.mark.parametrize("make", fixtures.MAKERS)
def test_index_row_has_every_column_but_the_place(make):
    row = encode_sample(make(2), jpeg_quality=90).index_row
    assert [*row] == [name for name in INDEX.names if name not in ("shard", "offset", "size")]


def test_index_row_values():
    row = encode_sample(fixtures.history(0), jpeg_quality=90).index_row
    picked = ("width", "height", "n_images", "n_turns", "n_marks", "n_moving", "n_traces", "tasks", "track_share")
    assert [row[name] for name in picked] == [64, 48, 3, 2, 3, 2, 2, ["tom"], None]
    row = encode_sample(fixtures.video_tom(0), jpeg_quality=90).index_row
    assert (row["track_share"], row["inlier_ratio"], row["moving_share"], row["camera_moving"]) == (
        1.0,
        0.8,
        None,
        True,
    )
    row = encode_sample(fixtures.text_only(0), jpeg_quality=90).index_row
    assert (row["width"], row["height"], row["n_images"]) == (0, 0, 0)
