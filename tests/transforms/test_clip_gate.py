"""The text-video gate, with a small CLIP of the real kind and random weights, against open_clip's own."""

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (pip install '.[clip]')")
open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed (pip install '.[clip]')")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from pipelines.known_weights import KNOWN  # noqa: E402
from schemas.errors import UserError  # noqa: E402
from schemas.flow import Clip, Gate  # noqa: E402
from schemas.networks import ClipGate  # noqa: E402
from tests.scenes import fake_ref, make_scene  # noqa: E402
from transforms.clip_gate import build_gate  # noqa: E402

MODEL, OTHER = "ViT-tiny-of-the-tests", "ViT-tiny-of-24"
SHAPE = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
LONG = "the person pushes the red box " * 30
"""more than CLIP's 77 tokens"""


@pytest.fixture(scope="module", autouse=True)
def _tiny_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, shape in ((MODEL, SHAPE), (OTHER, SHAPE | {"embed_dim": 24})):
        path = tmp_path_factory.mktemp("models") / f"{name}.json"
        path.write_text(json.dumps(shape))
        open_clip.add_model_config(path)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("something asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def state(_tiny_model: None) -> dict[str, Any]:
    torch.manual_seed(0)
    return {name: torch.randn_like(value) * 0.3 for name, value in open_clip.CLIP(**SHAPE).state_dict().items()}


@pytest.fixture(scope="module")
def weights(state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "open_clip_model.safetensors"
    save_file(state, path)
    return path


def gate_of(weights: Path, **fields: Any) -> Gate:
    return build_gate(ClipGate(weights=str(weights), **({"model": MODEL} | fields)), str(weights), "cpu")


def clip(text: str, n_frames: int = 9, seed: int = 0, size_wh: tuple[int, int] = (96, 64)) -> Clip:
    made = make_scene(n_frames=n_frames, size_wh=size_wh, seed=seed, pan_px_per_frame=(6, 2)).clip
    return replace(made, ref=fake_ref(text=text))


def clips() -> list[Clip]:
    return [
        clip("the person lifts a cup"),
        clip(LONG, n_frames=3, seed=1, size_wh=(40, 90)),
        clip("Üben – 練習!", n_frames=17, seed=2),
        clip("opens", n_frames=1, seed=3, size_wh=(33, 32)),
    ]


def told_by_open_clip(weights: Path, one: Clip, numbers: list[int], **prepare: Any) -> list[float]:
    """The similarity of each of these frames, by the library's own model, transform and tokenizer."""
    network, _, transform = open_clip.create_model_and_transforms(MODEL, pretrained=str(weights), **prepare)
    pictures = torch.stack([transform(Image.fromarray(one.frames_THW3[number])) for number in numbers])
    with torch.no_grad():
        shown = network.eval().encode_image(pictures, normalize=True)
        said = network.encode_text(open_clip.tokenize([one.ref.text]), normalize=True)
    return [float(cosine) for cosine in (shown @ said.T)[:, 0]]


def test_the_similarity_is_that_of_open_clip_on_the_frame_that_fits_best(weights: Path) -> None:
    numbers = [[0, 2, 5, 8], [0, 1, 2], [0, 5, 10, 16], [0]]
    want = [told_by_open_clip(weights, one, some) for one, some in zip(clips(), numbers, strict=True)]
    assert np.ptp(want[0]) > 0.01, "frames that all fit alike would prove nothing"
    assert gate_of(weights)(clips()) == pytest.approx([max(cosines) for cosines in want], abs=1e-5)
    assert gate_of(weights, frames=1)(clips()) == pytest.approx([cosines[0] for cosines in want], abs=1e-5)


def test_one_clip_at_a_time_gives_what_many_give(weights: Path) -> None:
    gate = gate_of(weights)
    assert [gate([one])[0] for one in clips()] == pytest.approx(gate(clips()), abs=1e-4)
    assert gate([]) == []


def test_the_narration_is_read_as_the_sample_teaches_it(weights: Path) -> None:
    gate = gate_of(weights)
    raw, cleaned, other = gate([clip("You lift  a cup (3)"), clip("The person lift a cup"), clip("a dog")])
    assert raw == cleaned != other


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_near(weights: Path, precision: str) -> None:
    full, half = gate_of(weights)(clips()), gate_of(weights, precision=precision)(clips())
    assert half != full
    assert half == pytest.approx(full, abs=0.02)


def test_a_checkpoint_of_a_training_on_several_gpus_is_opened_too(
    state: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "epoch_32.pt"
    torch.save({"epoch": 32, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    assert gate_of(path)(clips()) == gate_of(weights)(clips())


def test_pictures_are_prepared_as_the_published_weights_want_them(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"mean": (0.5, 0.4, 0.3), "std": (1.0, 0.9, 0.8), "interpolation": "bilinear", "resize_mode": "squash"}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda model: ["ours"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: way | {"url": "", "hf_hub": ""})
    one = clips()[0]
    own = {"image_mean": way["mean"], "image_std": way["std"]} | {
        f"image_{name}": way[name] for name in ("interpolation", "resize_mode")
    }
    want = max(told_by_open_clip(weights, one, [0, 2, 5, 8], **own))
    assert abs(want - max(told_by_open_clip(weights, one, [0, 2, 5, 8]))) > 1e-3
    assert gate_of(weights)([one]) == pytest.approx([want], abs=1e-5)


def test_a_network_that_gives_no_number_is_an_error_of_the_clip(state: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "nan.safetensors"
    save_file(state | {"visual.proj": torch.full_like(state["visual.proj"], float("nan"))}, path)
    with pytest.raises(ValueError, match="CLIP gave nan"):
        gate_of(path)(clips())


def test_running_out_of_memory_is_a_memory_error(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    gate = gate_of(weights)
    monkeypatch.setattr(open_clip.CLIP, "encode_image", full)
    with pytest.raises(MemoryError, match="out of memory"):
        gate(clips())


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("ViT-L-14-336-quickglu", "open_clip has no 'ViT-L-14-336-quickglu'; choose ViT-L-14-336-quickgelu"),
        ("hf-hub:timm/vit_large_patch14_clip_336.openai", "open_clip has no"),
        ("ViT-B-16-SigLIP", "tokenizer that must be downloaded"),
        ("coca_ViT-B-32", "also writes captions"),
        ("ViT-L-14", "prepared in different ways; choose another, e.g. 'ViT-L-14-336-quickgelu'"),
    ],
)
def test_a_model_that_cannot_be_built_from_its_name_is_a_mistake_of_one_line(
    weights: Path, model: str, line: str
) -> None:
    with pytest.raises(UserError) as mistake:
        gate_of(weights, model=model)
    assert line in str(mistake.value) and str(mistake.value).startswith("gate.model: ")
    assert "\n" not in str(mistake.value)


def test_weights_of_another_model_and_half_a_file_are_mistakes(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"gate\.weights: the file is not of open_clip's {OTHER}: it has text_proj"):
        gate_of(weights, model=OTHER)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"gate\.weights: .*cut\.safetensors can't be opened"):
        gate_of(cut)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_program_is_not_run_to_get_at_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "ViT-L-14-336px.pt"
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    with pytest.raises(UserError, match=r"gate\.weights: .* is a TorchScript program.*; give .* as safetensors"):
        gate_of(path)


def test_the_model_of_the_config_is_that_of_the_known_file() -> None:
    """The published file can't be had here; its size to the byte says that it holds these names and shapes."""
    with torch.device("meta"):
        network = open_clip.CLIP(**open_clip.get_model_config(ClipGate(weights="").model))
    assert network.visual.image_size == (336, 336)
    assert type(network.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    header, end = {}, 0
    for name, value in sorted(network.state_dict().items()):
        start, end = end, end + 4 * value.numel()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [start, end]}
    n_header = len(json.dumps(header, separators=(",", ":")))
    (known,) = (known for known in KNOWN if known.part == "clip")
    assert known.n_bytes == 8 + -(-n_header // 8) * 8 + end
