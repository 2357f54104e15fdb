import numpy as np
import pytest

from transforms.patches import patches_at, similarity, weighted_rms


@pytest.fixture(scope="module")
def gray_HW():
    noise_HW = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    noise_HW.setflags(write=False)
    return noise_HW


def random_patches(n=6, side=9, seed=0):
    return np.random.default_rng(seed).normal(120, 40, (n, side, side)).astype(np.float32)


def turn_by(degrees):
    """Right becomes down: clockwise, as one sees it."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([(cos, -sin), (sin, cos)])


@pytest.mark.parametrize(
    ("xy", "side", "step_px", "rows", "columns"),
    [
        ((20.5, 10.5), 1, 1.0, slice(10, 11), slice(20, 21)),
        ((20.5, 10.5), 5, 1.0, slice(8, 13), slice(18, 23)),
        ((20.0, 10.0), 4, 1.0, slice(8, 12), slice(18, 22)),
        ((20.5, 10.5), 5, 2.0, slice(6, 15, 2), slice(16, 25, 2)),
    ],
)
def test_a_patch_at_pixel_centres_is_made_of_those_pixels(gray_HW, xy, side, step_px, rows, columns):
    patches_NSS = patches_at(gray_HW, np.array([xy]), side, step_px)
    assert patches_NSS.shape == (1, side, side)
    assert patches_NSS.dtype == np.float32
    np.testing.assert_array_equal(patches_NSS[0], gray_HW[rows, columns])


def test_no_points_give_no_patches(gray_HW):
    assert patches_at(gray_HW, np.zeros((0, 2)), 5).shape == (0, 5, 5)
    assert patches_at(gray_HW, np.zeros((0, 2)), 5, turn_N22=np.zeros((0, 2, 2))).shape == (0, 5, 5)
    assert similarity(np.zeros((0, 5, 5)), np.zeros((0, 5, 5)), 1.0).shape == (0,)
    assert weighted_rms(np.zeros((0, 5, 5))).shape == (0,)


def test_between_pixels_lies_their_mean(gray_HW):
    between = patches_at(gray_HW, np.array([(21.0, 10.5)]), 3)[0]
    mean = (gray_HW[9:12, 19:22].astype(float) + gray_HW[9:12, 20:23]) / 2
    np.testing.assert_allclose(between, mean, atol=1)


@pytest.mark.parametrize("xy", [(0.5, 0.5), (49.5, 0.5), (0.5, 39.5), (49.5, 39.5), (-30.5, 20.5), (20.5, 90.5)])
def test_beyond_the_image_its_border_goes_on(gray_HW, xy):
    padded = np.pad(gray_HW, 100, mode="edge")
    row, column = int(xy[1] - 0.5) + 100, int(xy[0] - 0.5) + 100
    patch = patches_at(gray_HW, np.array([xy]), 7)[0]
    np.testing.assert_array_equal(patch, padded[row - 3 : row + 4, column - 3 : column + 4])


def test_no_turn_is_the_identity(gray_HW):
    xy_N2 = np.random.default_rng(1).uniform(0, 40, (30, 2))
    turned = patches_at(gray_HW, xy_N2, 7, 1.5, np.broadcast_to(np.eye(2), (30, 2, 2)))
    np.testing.assert_array_equal(turned, patches_at(gray_HW, xy_N2, 7, 1.5))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_square_undoes_the_turn_of_the_picture(gray_HW, quarters):
    xy_N2 = np.array([(20.5, 15.5)])
    upright = patches_at(gray_HW, xy_N2, 7)[0]
    turned = patches_at(gray_HW, xy_N2, 7, turn_N22=turn_by(90 * quarters)[None])[0]
    np.testing.assert_array_equal(turned, np.rot90(upright, quarters))

    clockwise_HW = np.ascontiguousarray(np.rot90(gray_HW[:31, 5:36], -quarters))  # about (20.5, 15.5)
    found = patches_at(clockwise_HW, np.array([(15.5, 15.5)]), 7, turn_N22=turn_by(90 * quarters)[None])[0]
    np.testing.assert_array_equal(found, upright)


def test_a_square_stretched_by_two_takes_every_second_pixel(gray_HW):
    xy_N2 = np.array([(20.5, 15.5)])
    stretched = patches_at(gray_HW, xy_N2, 7, turn_N22=2 * np.eye(2)[None])
    np.testing.assert_array_equal(stretched, patches_at(gray_HW, xy_N2, 7, step_px=2.0))
    flattened = patches_at(gray_HW, xy_N2, 7, turn_N22=np.diag([2.0, 1.0])[None])
    np.testing.assert_array_equal(flattened[0], gray_HW[12:19, 14:27:2])


def test_each_point_has_its_own_turn(gray_HW):
    xy_N2 = np.array([(20.5, 15.5), (25.5, 20.5)])
    both = patches_at(gray_HW, xy_N2, 5, turn_N22=np.stack([np.eye(2), turn_by(90)]))
    upright = patches_at(gray_HW, xy_N2, 5)
    np.testing.assert_array_equal(both, [upright[0], np.rot90(upright[1])])


def test_more_points_than_opencv_takes_rows(gray_HW):
    xy_N2 = np.random.default_rng(2).uniform(-5, 55, (8000, 2))  # 72000 rows
    all_NSS = patches_at(gray_HW, xy_N2, 9)
    for part in (slice(0, 50), slice(1800, 1850), slice(3620, 3660), slice(7950, 8000)):
        np.testing.assert_array_equal(all_NSS[part], patches_at(gray_HW, xy_N2[part], 9))


@pytest.mark.parametrize("gain", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("offset", [-60.0, 0.0, 40.0])
def test_gain_and_offset_do_not_matter(gain, offset):
    one_NSS = random_patches()
    np.testing.assert_allclose(similarity(one_NSS, gain * one_NSS + offset, 0.0), 1, atol=1e-4)
    np.testing.assert_allclose(similarity(one_NSS, offset - gain * one_NSS, 0.0), -1, atol=1e-4)


def test_strangers_are_not_alike_and_order_does_not_matter():
    one_NSS, other_NSS = random_patches(200), random_patches(200, seed=1)
    similar_N = similarity(one_NSS, other_NSS, 2.0)
    np.testing.assert_allclose(similar_N, similarity(other_NSS, one_NSS, 2.0), atol=1e-5)
    assert (np.abs(similar_N) < 0.7).all()
    assert abs(similar_N.mean()) < 0.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_flat_patches_are_like_nothing(noise):
    flat_NSS = np.full((6, 9, 9), 90, np.float32)
    np.testing.assert_allclose(similarity(flat_NSS, flat_NSS, noise), 0, atol=1e-3)
    np.testing.assert_allclose(similarity(flat_NSS, random_patches(), noise), 0, atol=1e-3)


def test_noise_draws_what_is_nearly_flat_towards_zero():
    textured_NSS = random_patches()
    faint_NSS = 120 + (textured_NSS - 120) / 40  # one grey level
    assert (similarity(faint_NSS, faint_NSS, 0.0) > 0.999).all()
    assert (similarity(faint_NSS, faint_NSS, 2.0) < 0.4).all()
    assert (similarity(textured_NSS, textured_NSS, 2.0) > 0.98).all()


def test_the_middle_counts_more_than_the_rim():
    one_NSS = random_patches(40)
    middle_NSS, rim_NSS = one_NSS.copy(), one_NSS.copy()
    middle_NSS[:, 3:6, 3:6] = random_patches(40, seed=3)[:, 3:6, 3:6]  # 9 of 81
    for side in (0, -1):  # 32 of 81
        rim_NSS[:, side], rim_NSS[:, :, side] = random_patches(40, seed=4)[:, 0], random_patches(40, seed=5)[:, 1]
    assert similarity(one_NSS, rim_NSS, 1.0).mean() > similarity(one_NSS, middle_NSS, 1.0).mean() + 0.1
    spot_NSS = np.zeros((2, 9, 9), np.float32)
    spot_NSS[0, 4, 4] = spot_NSS[1, 0, 0] = 10
    middle, corner = weighted_rms(spot_NSS)
    assert middle > 3 * corner > 0


@pytest.mark.parametrize("level", [-7.0, 0.0, 3.5])
def test_weighted_rms_of_a_constant_is_its_size(level):
    np.testing.assert_allclose(weighted_rms(np.full((3, 9, 9), level, np.float32)), abs(level), rtol=1e-5)


def test_inputs_stay_as_they_are():
    one_NSS, other_NSS = random_patches(), random_patches(seed=1)
    for patches_NSS in (one_NSS, other_NSS):
        patches_NSS.setflags(write=False)
    similarity(one_NSS, other_NSS, 1.0)
    weighted_rms(one_NSS)
