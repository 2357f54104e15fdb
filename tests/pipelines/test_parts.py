"""Which parts a config has, with licence and hash; what is refused; what is missing."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import check_config, config_hash, hashed_part, load_config
from pipelines.known_weights import KNOWN
from pipelines.parts import libraries_of, network_parts, parts_of
from pipelines.version import library_versions
from schemas.errors import UserError
from schemas.jobs import JobConfig, parse_job
from schemas.sample import Part
from tests.jobs import ROOT

KNOWN_HASH = {known.name: known.sha256 for known in KNOWN}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "co-tracker/cotracker").mkdir(parents=True)
    return tmp_path / "co-tracker"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "own.pth"
    path.write_bytes(b"weights")
    return path


def job(recipe: str, inputs: Path, **parts: Any) -> JobConfig:
    told = {"text": "a gate has something to compare with"} if recipe == "video" else {}
    return check_config({"recipe": recipe, "source": {"uris": [str(inputs)], **told}, **parts})


def refused(recipe: str, inputs: Path, **parts: Any) -> str:
    with pytest.raises(UserError) as caught:
        job(recipe, inputs, license={"permissive_only": True}, **parts)
    return str(caught.value)


def part_names(config: JobConfig) -> list[tuple[str, str, str]]:
    return [(part.role, part.name, part.licence) for part in parts_of(config)]


def test_parts_of_a_video_job(inputs: Path, checkout: Path) -> None:
    config = job(
        "video",
        inputs,
        gate={"name": "clip", "weights": "clip_vit_l_14_336_openai.safetensors"},
        tracker={"name": "cotracker", "weights": "scaled_offline.pth", "repository": str(checkout)},
        objects={"name": "regions", "proposer": {"name": "sam", "weights": "sam_vit_b_01ec64.pth"}},
    )
    assert part_names(config) == [
        ("gate", "clip", "MIT"),
        ("tracker", "cotracker", "CC-BY-NC-4.0"),
        ("camera", "homography", "Apache-2.0"),
        ("shots", "content", "BSD-3-Clause"),
        ("objects", "sam", "Apache-2.0"),
    ]
    assert parts_of(config)[4].weights_sha256 == KNOWN_HASH["sam_vit_b_01ec64.pth"]
    assert [field for field, _ in network_parts(config)] == ["gate", "tracker", "objects.proposer"]


def test_parts_of_a_weight_free_job(inputs: Path) -> None:
    assert part_names(job("video", inputs)) == [
        ("tracker", "lucas_kanade", "Apache-2.0"),
        ("camera", "homography", "Apache-2.0"),
        ("shots", "content", "BSD-3-Clause"),
    ]
    assert part_names(job("image", inputs)) == [("proposer", "segments", "Apache-2.0")]
    assert part_names(job("ui", inputs)) == [("proposer", "pixels", "MIT"), ("ocr", "rapidocr", "Apache-2.0")]


def test_yolo_that_reads_words_has_an_ocr_too(inputs: Path) -> None:
    yolo = {"name": "yolo", "weights": "omniparser_v2_icon_detect.pt"}
    assert part_names(job("ui", inputs, proposer={**yolo, "text": "ocr"})) == [
        ("proposer", "yolo", "AGPL-3.0"),
        ("ocr", "rapidocr", "Apache-2.0"),
    ]
    assert part_names(job("ui", inputs, proposer=yolo)) == [("proposer", "yolo", "AGPL-3.0")]


def test_versions_are_those_of_the_libraries_that_a_job_uses(inputs: Path) -> None:
    assert libraries_of(job("video", inputs)) == []
    assert libraries_of(job("ui", inputs)) == ["onnxruntime", "rapidocr"]
    sam = job("image", inputs, proposer={"name": "sam", "weights": "sam_vit_b_01ec64.pth"})
    assert libraries_of(sam) == ["segment-anything", "torch", "torchvision"]
    versions = library_versions(libraries_of(sam))
    assert versions["torch"] and versions["segment-anything"] and versions["numpy"]
    assert "torch" not in library_versions()


def test_weights_of_ones_own_have_no_known_licence(inputs: Path, local: Path) -> None:
    (part,) = parts_of(job("image", inputs, proposer={"name": "sam", "weights": str(local)}))
    sha256, licence = hashlib.sha256(b"weights").hexdigest(), "Apache-2.0; weights: not known"
    assert part == Part(role="proposer", name="sam", weights_sha256=sha256, licence=licence)


@pytest.mark.parametrize(
    ("recipe", "parts", "words"),
    [
        (
            "ui",
            {"proposer": {"name": "yolo", "weights": "yolo11n.pt"}},
            [
                "license.permissive_only: proposer.name=yolo is AGPL-3.0",
                "choose pixels",
                "license.permissive_only=false",
            ],
        ),
        (
            "video",
            {"tracker": {"name": "cotracker", "weights": "scaled_online.pth"}},
            ["tracker.name=cotracker is CC-BY-NC-4.0", "choose lucas_kanade"],
        ),
        (
            "video",
            {"objects": {"name": "regions", "proposer": {"name": "yolo", "weights": "yolo11n.pt"}}},
            ["objects.proposer.name=yolo is AGPL-3.0", "choose segments"],
        ),
    ],
)
def test_what_is_not_permissive_is_refused(
    inputs: Path, checkout: Path, recipe: str, parts: dict[str, Any], words: list[str]
) -> None:
    if "tracker" in parts:
        parts["tracker"]["repository"] = str(checkout)
    text = refused(recipe, inputs, **parts)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_weights_of_no_known_licence_are_refused_too(inputs: Path, local: Path) -> None:
    text = refused("image", inputs, proposer={"name": "sam", "weights": str(local)})
    assert "proposer.name=sam is Apache-2.0; weights: not known" in text
    assert "give weights of WEIGHTS.md" in text


def test_every_refused_part_has_a_line(inputs: Path, checkout: Path, local: Path) -> None:
    gate = {"name": "clip", "weights": str(local)}
    tracker = {"name": "cotracker", "weights": str(local), "repository": str(checkout)}
    assert len(refused("video", inputs, gate=gate, tracker=tracker).splitlines()) == 2


def test_permissive_parts_pass(inputs: Path) -> None:
    for recipe, parts in (
        ("image", {"proposer": {"name": "sam", "weights": "sam_vit_h_4b8939.pth"}}),
        ("video", {"gate": {"name": "clip", "weights": "clip_vit_l_14_336_openai.safetensors"}}),
        ("ui", {}),
    ):
        assert job(recipe, inputs, license={"permissive_only": True}, **parts).license.permissive_only


def test_the_hash_tells_weights_apart_not_where_they_lie(inputs: Path, local: Path, checkout: Path) -> None:
    def hashed(path: Path, **more: Any) -> str:
        tracker = {"name": "cotracker", "weights": str(path), "repository": str(checkout)}
        proposer = {"name": "sam", "weights": str(path)}
        return config_hash(
            job("video", inputs, tracker=tracker, objects={"name": "regions", "proposer": proposer}, **more)
        )

    elsewhere = local.with_name("copy.pth")
    elsewhere.write_bytes(local.read_bytes())
    base = hashed(local)
    assert hashed(elsewhere, run={"device": "cpu", "batch": 4}) == base
    checkout = checkout.rename(checkout.with_name("moved"))
    assert hashed(local) == base
    elsewhere.write_bytes(b"others")
    assert hashed(elsewhere) != base


def test_a_stored_config_tells_the_parts_and_no_place(inputs: Path, local: Path, checkout: Path) -> None:
    config = job("video", inputs, tracker={"name": "cotracker", "weights": str(local), "repository": str(checkout)})
    stored = hashed_part(config)
    assert str(local) not in str(stored) and str(checkout) not in str(stored)
    again = parse_job(stored)
    assert parts_of(again) == parts_of(config)
    assert config_hash(again) == config_hash(config)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["proposer.name=sam"], ["proposer.name: 'sam' needs segment_anything and torch", "pip install '.[sam]'"]),
        (["proposer.name=yolo"], ["proposer.name: 'yolo' needs ultralytics and torch", "pip install '.[yolo]'"]),
        (["proposer.name=pixels"], ["proposer.name: 'pixels' needs rapidocr and onnxruntime", "pip install '.[ui]'"]),
    ],
)
def test_a_missing_library_of_a_proposer_names_field_and_command(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], words: list[str]
) -> None:
    assert_missing(monkeypatch, lambda name: None, ["recipe=ui", f"source.uris={inputs}", *overrides], words)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["gate.name=clip"], ["gate.name: 'clip' needs open_clip and torch", "pip install '.[clip]'", "'off'"]),
        (["tracker.name=cotracker"], ["tracker.name: 'cotracker' needs torch", "pip install torch"]),
        (
            ["objects.name=regions", "objects.proposer.name=sam"],
            ["objects.proposer.name: 'sam' needs segment_anything"],
        ),
    ],
)
def test_a_missing_library_of_a_video_names_field_and_command(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], words: list[str]
) -> None:
    assert_missing(monkeypatch, lambda name: None, [f"source.uris={inputs}", *overrides], words)


def test_cotracker_is_installed_or_a_checkout(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cotracker(name: str) -> object:
        return None if name == "cotracker" else name

    uris = f"source.uris={inputs}"
    words = ["tracker.name: 'cotracker' is not installed", "pip install git+https://", "CC-BY-NC-4.0", "lucas_kanade"]
    assert_missing(monkeypatch, no_cotracker, [uris, "tracker.name=cotracker"], words)
    folder = [f"tracker.repository: {inputs} has no folder cotracker", "git clone https://"]
    assert_missing(monkeypatch, no_cotracker, [uris, "tracker.name=cotracker", f"tracker.repository={inputs}"], folder)


def test_the_ready_config_of_omniparser_needs_its_inputs_only(inputs: Path) -> None:
    config = load_config("omniparser", [f"source.uris={inputs}"])
    assert part_names(config) == [("proposer", "yolo", "AGPL-3.0"), ("ocr", "rapidocr", "Apache-2.0")]
    assert parts_of(config)[0].weights_sha256 == KNOWN_HASH["omniparser_v2_icon_detect.pt"]


def test_given_boxes_of_videos_are_a_mistake(inputs: Path) -> None:
    proposer = {"name": "sam", "prompts": "given", "weights": "sam_vit_b_01ec64.pth"}
    with pytest.raises(UserError, match=r"objects\.proposer\.prompts: 'given' needs boxes.*choose 'grid'"):
        job("video", inputs, objects={"name": "regions", "proposer": proposer})
    with pytest.raises(UserError, match=r"proposer\.prompts: 'given' marks boxes of a dataset"):
        job("image", inputs, proposer=proposer)


def test_the_table_for_people_is_the_one_of_the_code() -> None:
    lines = (ROOT / "WEIGHTS.md").read_text().splitlines()
    rows = [tuple(cell.strip(" `") for cell in line.strip("|").split("|")) for line in lines if "| `" in line]
    assert rows == [
        (
            known.name,
            known.part,
            f"{known.n_bytes:,}" if known.n_bytes else "not known",
            known.licence,
            known.sha256,
            f"<{known.url}>",
        )
        for known in KNOWN
    ]


def assert_missing(monkeypatch: pytest.MonkeyPatch, find: Any, overrides: list[str], words: list[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", find)
    recipe = "ui" if "recipe=ui" in overrides else "video"
    with pytest.raises(UserError) as caught:
        load_config(recipe, overrides)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
