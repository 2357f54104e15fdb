"""CoTracker's real networks with parameters by chance, against the repository's own predictors.

The repository is an installed `cotracker`, or the checkout that SOMTOM_COTRACKER names.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from schemas.errors import UserError
from schemas.networks import CoTrackerTracker
from transforms.points import grid_points
from transforms.tracks import inside

torch = pytest.importorskip("torch", reason="CoTracker needs torch: pip install '.[train]'")
from transforms.trackers.cotracker import CoTracker, build_cotracker, follow, load_cotracker, queries_at  # noqa: E402

FOLDER = os.environ.get("SOMTOM_COTRACKER", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER and find_spec("cotracker") is None,
        reason="no cotracker: install it, or name a checkout of its repository in SOMTOM_COTRACKER",
    ),
]
SIZE_WH = (90, 60)
SMALL = {"stride": 4, "num_virtual_tracks": 4, "model_resolution": (64, 96)}
MODELS = ["3_offline", "3_online", "2"]


@pytest.fixture(scope="module")
def real():
    """Gives modules of the repository."""
    sys.path[:0] = [FOLDER] if FOLDER else []
    yield lambda name: import_module(f"cotracker.{name}")
    sys.path[:] = sys.path[1:] if FOLDER else sys.path


def shaken(network):
    """Parameters with which points move by some pixels."""
    torch.manual_seed(3)
    torch.nn.init.normal_(network.updateformer.flow_head.weight, std=0.002)
    return network.eval()


@pytest.fixture(scope="module")
def small(real):
    """A small network of each model."""
    of_3 = {"corr_radius": 3, "window_len": 8, **SMALL}
    return {
        "3_offline": shaken(real("models.core.cotracker.cotracker3_offline").CoTrackerThreeOffline(**of_3)),
        "3_online": shaken(real("models.core.cotracker.cotracker3_online").CoTrackerThreeOnline(**of_3)),
        "2": shaken(real("models.core.cotracker.cotracker").CoTracker2(window_len=8, **SMALL)),
    }


def loaded(network, model, **changes):
    feeding = {"3_offline": "whole", "3_online": "online", "2": "windows"}[model]
    fields = {"device": torch.device("cpu"), "dtype": torch.float32, "support_grid": 2, "min_visibility": -1}
    return CoTracker(network=network, feeding=feeding, **(fields | changes))


def footage(n_frames, seed=0, size_wh=SIZE_WH):
    """A picture of blobs that moves by (2, 1) pixels a frame."""
    noise_HW3 = np.random.default_rng(seed).integers(0, 256, (size_wh[1] + 40, size_wh[0] + 80, 3))
    large_HW3 = cv2.GaussianBlur(noise_HW3.astype(np.uint8), (0, 0), 2)
    return np.stack([large_HW3[40 - t :, 80 - 2 * t :][: size_wh[1], : size_wh[0]] for t in range(n_frames)])


def theirs(real, network, model, frames_THW3, queries_N3, backward=False):
    """Tracks and visibility of the repository's predictor, in this project's pixels."""
    predictor = real("predictor")
    online = model == "3_online"
    new = predictor.CoTrackerOnlinePredictor if online else predictor.CoTrackerPredictor
    made = new.__new__(new)
    torch.nn.Module.__init__(made)
    made.v2, made.support_grid_size, made.interp_shape, made.model = model == "2", 2, network.model_resolution, network
    video = torch.tensor(frames_THW3).permute(0, 3, 1, 2)[None].float()
    queries = torch.tensor(queries_N3 - (0, 0.5, 0.5), dtype=torch.float32)[None]
    if not online:
        xy, visible = made(video, queries=queries, backward_tracking=backward)
        return xy[0].numpy() + 0.5, visible[0].numpy()
    made.step = network.window_len // 2
    made(video_chunk=video, is_first_step=True, queries=queries, add_support_grid=True)
    for first in range(0, video.shape[1] - made.step, made.step):
        xy, visible = made(video_chunk=video[:, first : first + 2 * made.step], add_support_grid=True)
    return xy[0].numpy() + 0.5, visible[0].numpy()


@pytest.mark.parametrize("n_frames", [11, 6])
@pytest.mark.parametrize("model", MODELS)
def test_tracks_are_those_of_the_predictor_of_the_repository(real, small, model, n_frames):
    frames_THW3 = footage(n_frames)
    own = (0, 0, 3) if model == "3_offline" else (0, 0, 0)
    queries_N3 = np.insert(np.array([(20.5, 30.25), (70, 12), (44, 40)]), 0, own, axis=1)
    their_xy_TN2, _ = theirs(real, small[model], model, frames_THW3, queries_N3)
    (ours,) = follow(loaded(small[model], model), [frames_THW3], [queries_N3])
    after_TN = np.arange(n_frames)[:, None] > queries_N3[:, 0]
    np.testing.assert_array_equal(ours.visible_TN[after_TN], inside(their_xy_TN2, SIZE_WH)[after_TN])
    compared_TN = after_TN & ours.visible_TN
    assert compared_TN.mean() > 0.5
    np.testing.assert_allclose(ours.xy_TN2[compared_TN], their_xy_TN2[compared_TN], atol=1e-3)
    assert np.abs(their_xy_TN2[1:] - queries_N3[:, 1:])[compared_TN[1:]].max() > 0.5  # something moves


class Deciding:
    """A network whose points stay where they are, and are seen by chance."""

    model_resolution, window_len = (64, 96), 8

    def __init__(self, of_3):
        self.of_3 = of_3

    def init_video_online_processing(self):
        pass

    def forward(self, video, queries, iters, is_online=False):
        shape = (1, video.shape[1], queries.shape[1])
        sure = [torch.rand(shape, generator=torch.Generator().manual_seed(seed)) ** 0.3 for seed in (1, 2)]
        return queries[:, None, :, 1:].expand(*shape, 2).clone(), *sure[: 1 + self.of_3], None

    __call__ = forward


@pytest.mark.parametrize(("model", "limit"), [("3_online", 0.6), ("2", 0.9)])
def test_what_is_visible_is_what_the_predictor_says(real, model, limit):
    """But for the offline predictor of CoTracker 3, which leaves the confidence out."""
    network, queries_N3 = Deciding(model == "3_online"), queries_at(0, grid_points(SIZE_WH, 5))
    _, their_visible_TN = theirs(real, network, model, footage(8), queries_N3)
    (ours,) = follow(loaded(network, model, min_visibility=limit), [footage(8)], [queries_N3])
    np.testing.assert_array_equal(ours.visible_TN[1:], their_visible_TN[1:])
    assert 0.2 < their_visible_TN.mean() < 0.8


def test_backward_tracks_are_those_of_the_predictor(real, small):
    frames_THW3 = footage(7)
    queries_N3 = np.array([(6, 30.5, 20), (3, 60, 40), (0, 45, 30)])
    their_xy_TN2, _ = theirs(real, small["3_offline"], "3_offline", frames_THW3, queries_N3, backward=True)
    (ours,) = follow(loaded(small["3_offline"], "3_offline"), [frames_THW3], [queries_N3], backward=True)
    inside_TN = inside(their_xy_TN2, SIZE_WH)
    assert inside_TN.mean() > 0.5
    np.testing.assert_array_equal(ours.visible_TN, inside_TN)
    np.testing.assert_allclose(ours.xy_TN2[inside_TN], their_xy_TN2[inside_TN], atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_many_clips_at_once_give_what_each_gives_alone(small, model):
    clips = [footage(5, seed) for seed in range(3)]
    queries = [queries_at(0, grid_points(SIZE_WH, 2) + seed) for seed in range(3)]
    cotracker = loaded(small[model], model)
    together = follow(cotracker, clips, queries)
    for clip, query, tracks in zip(clips, queries, together, strict=True):
        (single,) = follow(cotracker, [clip], [query])
        np.testing.assert_array_equal(tracks.visible_TN, single.visible_TN)
        np.testing.assert_allclose(tracks.xy_TN2, single.xy_TN2, atol=1e-4)
        np.testing.assert_allclose(tracks.confidence_TN, single.confidence_TN, atol=1e-3)  # one step of float16
    assert np.abs(together[0].xy_TN2 - together[1].xy_TN2).max() > 1


@pytest.mark.parametrize("model", ["3_online", "2"])
@pytest.mark.parametrize("n_frames", [1, 3])
def test_a_clip_shorter_than_half_a_window_is_tracked_as_if_it_stood_still_at_its_end(small, model, n_frames):
    """The predictors give zeros, or nothing, for such a clip."""
    frames_THW3, queries_N3 = footage(n_frames), queries_at(0, grid_points(SIZE_WH, 2))
    longer_THW3 = np.concatenate([frames_THW3, np.repeat(frames_THW3[-1:], 8 - n_frames, axis=0)])
    cotracker = loaded(small[model], model, support_grid=0)
    (short,), (whole,) = (follow(cotracker, [each], [queries_N3]) for each in (frames_THW3, longer_THW3))
    np.testing.assert_allclose(short.xy_TN2, whole.xy_TN2[:n_frames], atol=1e-4)
    np.testing.assert_array_equal(short.visible_TN, whole.visible_TN[:n_frames])


@pytest.mark.parametrize("model", MODELS)
def test_in_half_precision_points_go_nearly_the_same_way(small, model):
    frames_THW3, queries_N3 = footage(5), queries_at(0, grid_points(SIZE_WH, 2))
    full, half = (
        follow(loaded(small[model], model, dtype=dtype, support_grid=0), [frames_THW3], [queries_N3])[0]
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert np.isfinite(half.xy_TN2).all()
    assert 0 < np.linalg.norm(half.xy_TN2 - full.xy_TN2, axis=-1).max() < 2


@pytest.fixture(scope="module")
def files(real, tmp_path_factory):
    """A file of parameters of each model as hubconf.py builds it, in the format of the published ones."""
    where = tmp_path_factory.mktemp("weights")
    build = real("models.build_cotracker").build_cotracker
    kinds = {"3_offline": (True, 60, False), "3_online": (False, 16, False), "2": (True, 8, True)}
    paths = {}
    for model, (offline, window_len, v2) in kinds.items():
        state = shaken(build(offline=offline, window_len=window_len, v2=v2)).state_dict()
        paths[model] = str(where / f"{model}.pth")
        torch.save({"model": state} if model == "2" else state, paths[model])
    return paths


def config(model, files):
    return CoTrackerTracker(model=model, weights=files[model], repository=FOLDER, support_grid=2, min_visibility=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_file_of_each_model_is_read_and_is_followed_as_by_the_predictor(real, files, model):
    ours = load_cotracker(config(model, files), files[model], "cpu")
    assert ours.network.model_resolution == (384, 512)
    frames_THW3, queries_N3 = footage(9, size_wh=(320, 200)), queries_at(0, np.array([(100, 80), (250, 120)]))
    their_xy_TN2, _ = theirs(real, ours.network, model, frames_THW3, queries_N3)
    (tracks,) = follow(ours, [frames_THW3], [queries_N3])
    seen_TN = tracks.visible_TN & (np.arange(9) > 0)[:, None]
    np.testing.assert_allclose(tracks.xy_TN2[seen_TN], their_xy_TN2[seen_TN], atol=2e-3)


def test_a_file_of_another_model_is_an_error(files):
    with pytest.raises(UserError, match=r"tracker.weights: the file is not of CoTracker 3_offline: .*time_emb"):
        build_cotracker(config("3_offline", files), files["3_online"], "cpu")
