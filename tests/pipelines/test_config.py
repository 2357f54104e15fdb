"""Configs: overrides, hash, and mistakes in one line each that names field, value and cure."""

from pathlib import Path

import pytest

from pipelines.config import check_config, config_hash, differences, hashed_part, load_config
from schemas.config import LucasKanadeTracker, ManifestSource, NoShots
from schemas.errors import UserError
from schemas.networks import CoTrackerTracker, NoGate


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"x")
    return folder


def mistake(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config("video", overrides)
    return str(caught.value)


def test_defaults_and_overrides(videos: Path) -> None:
    config = load_config("video", [f"source.uris={videos}", "clips.length_s=3", "tracker.levels=2", "shots.name=none"])
    assert config.clips.length_s == 3
    assert config.tracker == LucasKanadeTracker(levels=2)
    assert config.shots == NoShots()
    assert config.source.root == str(videos)


def test_overriding_a_name_drops_the_fields_of_the_other_kind(videos: Path) -> None:
    table = videos / "clips.csv"
    table.write_text("uri\na.mp4\n")
    own = videos / "own.yaml"
    own.write_text(f"source: {{name: videos, uris: [{videos}]}}\n")
    config = load_config(str(own), [f"source.path={table}", "source.name=manifest"])
    assert isinstance(config.source, ManifestSource)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tracker.levls=3", ["tracker.levls: unknown field", "did you mean 'levels'?"]),
        ("trackr.levels=3", ["trackr: unknown field", "'tracker'"]),
        ("tracker.levels=many", ["tracker.levels: 'many'", "valid integer"]),
        ("decode.fps=-1", ["decode.fps: -1", "greater than 0"]),
        ("decode.backend=gstreamer", ["decode.backend: 'gstreamer'", "'pyav' or 'decord'"]),
        ("camera.name=affine", ["camera.name: 'affine' is unknown", "'homography', 'none'"]),
        ("shots.threshhold=3", ["shots.threshhold: unknown field", "'threshold'"]),
        ("clips.min_length_s=9", ["clips: min_length_s 9.0 is above length_s 2.0"]),
        ("seed", ["seed: is no override", "field=value"]),
        ("seed=2020-13-45", ["seed: '2020-13-45'", "integer"]),
        ("clips.stride_s=0.0001", ["clips.stride_s", "0.01"]),
        ("output.shard_cost_s=1", ["config: output.shard_cost_s 1.0 is below two clips; make it 4.0 or more"]),
        ("seed.x=1", ["seed: {'x': 1}", "valid integer"]),
        ("decode.fps=.nan", ["decode.fps: nan", "finite"]),
        ("text.templates=nowhere.yaml", ["text.templates: 'nowhere.yaml' is not a file"]),
        ("recipe=sound", ["recipe: 'sound'", "video"]),
    ],
)
def test_a_mistake_is_one_line_with_field_value_and_cure(videos: Path, override: str, words: list[str]) -> None:
    text = mistake(f"source.uris={videos}", override)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_parts_of_networks_are_called_by_words_and_numbers(videos: Path) -> None:
    config = load_config("video", [f"source.uris={videos}", "gate.name=off"])
    assert config.gate == NoGate()
    given = {"name": "cotracker", "model": 2, "sha256": "0A" * 32}
    tracker = CoTrackerTracker.model_validate(given)
    assert (tracker.model, tracker.sha256) == ("2", "0a" * 32)


def test_every_mistake_has_a_line(videos: Path) -> None:
    assert len(mistake(f"source.uris={videos}", "seed=x", "decode.fps=0").splitlines()) == 2


def test_a_missing_extra_names_the_command(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install '.[decord]'" in mistake(f"source.uris={videos}", "decode.backend=decord")


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", ""])
def test_a_file_that_is_no_mapping(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        load_config(str(path))


def test_hash_covers_what_is_made_not_where_or_how(videos: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.mp4").write_bytes(b"x")
    base = load_config("video", [f"source.uris={videos}"])
    same = load_config("video", [f"source.uris={elsewhere}", "run.deadline_s=7", "run.max_quarantined=1"])
    other = load_config("video", [f"source.uris={videos}", "seed=1"])
    assert config_hash(base) == config_hash(same) != config_hash(other)
    assert list(differences(hashed_part(base), hashed_part(other))) == ["seed: 0 -> 1"]


def test_own_templates_are_part_of_the_config(videos: Path, tmp_path: Path) -> None:
    builtin = load_config("video", [f"source.uris={videos}"])
    assert isinstance(builtin.text.templates, dict)
    own = tmp_path / "prompts.yaml"
    lines = "".join(f"{name}: {text!r}\n" for name, text in builtin.text.templates.items())
    own.write_text(lines.replace(builtin.text.templates["som"], "Where are they?"))
    changed = load_config("video", [f"source.uris={videos}", f"text.templates={own}"])
    assert changed.text.templates != builtin.text.templates
    assert config_hash(changed) != config_hash(builtin)


def test_a_hashed_config_is_a_config_again(videos: Path) -> None:
    config = load_config("video", [f"source.uris={videos}"])
    plain = hashed_part(config)
    assert config_hash(check_config({**plain, "source": {**plain["source"], "uris": [str(videos)]}})) == config_hash(
        config
    )


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["source.tree=json"], ["source.tree: 'json' is no ending", "with its dot: .json"]),
        (["marks.least=50"], ["marks: least 50 is above most 40", "lower least"]),
        (["duplicates=near"], ["duplicates: 'near' is no part with fields", "duplicates.name"]),
        (["proposer.name=given"], ["proposer.name: 'given' marks boxes of a dataset", "choose another"]),
        (["proposer.name=dom"], ["proposer.name: 'dom' reads a file beside each picture; say which with source.tree"]),
        (
            ["source.name=screenspot", "source.path=a.json", "proposer.name=android"],
            ["proposer.name: 'android' reads a file beside each picture, which source 'screenspot' has not", "'given'"],
        ),
    ],
)
def test_a_mistake_about_pictures_is_one_line_too(tmp_path: Path, overrides: list[str], words: list[str]) -> None:
    uris = [] if any("source.name" in override for override in overrides) else [f"source.uris={tmp_path}"]
    with pytest.raises(UserError) as caught:
        load_config("ui", [*uris, *overrides])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
