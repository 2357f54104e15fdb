"""Loading: overrides reach into lists, and a mistake in them names the field and its neighbours."""

from pathlib import Path

import pytest

from schemas.config import VideoJob, VideosSource
from schemas.errors import UserError
from schemas.loading import checked, differences, load
from schemas.training import LoraConfig, TrainConfig

TWO = "data: {mixture: [{path: a}, {path: b}]}\nmodel: {lora: null}\n"


def loaded(folder: Path, content: str, *overrides: str) -> TrainConfig:
    path = folder / "own.yaml"
    path.write_text(content)
    return checked(TrainConfig, load(str(path), overrides, "train.configs"))


def mistake(folder: Path, content: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        loaded(folder, content, *overrides)
    return str(caught.value)


def test_overrides_reach_into_lists_by_number(tmp_path: Path) -> None:
    config = loaded(tmp_path, TWO, "data.mixture.1.path=c", "data.mixture.0.drop_turns.tom=0.5")
    assert [dataset.path for dataset in config.data.mixture] == ["a", "c"]
    assert config.data.mixture[0].drop_turns == {"tom": 0.5}


def test_a_whole_entry_can_be_given(tmp_path: Path) -> None:
    config = loaded(tmp_path, TWO, "data.mixture.0={path: c, limit: 3}")
    assert (config.data.mixture[0].path, config.data.mixture[0].limit) == ("c", 3)


@pytest.mark.parametrize("content", ["seed: 1", "data:", "data: {mixture: }", "data: {mixture: []}"])
def test_entries_of_a_list_that_is_not_there_are_made_one_after_another(tmp_path: Path, content: str) -> None:
    config = loaded(tmp_path, content, "data.mixture.0.path=a", "data.mixture.1.path=b", "data.mixture.0.limit=2")
    assert [(dataset.path, dataset.limit) for dataset in config.data.mixture] == [("a", 2), ("b", 0)]


@pytest.mark.parametrize("content", [TWO, "data: {mixture: [{path: a}]}"])
def test_fields_of_an_optional_part_that_is_not_there_are_enough(tmp_path: Path, content: str) -> None:
    assert loaded(tmp_path, content, "model.lora.rank=8").model.lora == LoraConfig(rank=8)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "data.mixture.0.pth=x",
            ["data.mixture.0.pth: unknown field", "did you mean 'path'?", "known here: path, split"],
        ),
        ("data.mixture.1.limit=-1", ["data.mixture.1.limit: -1", "greater than or equal to 0"]),
        ("data.mixture.1={split: val}", ["data.mixture.1.path: missing", "data.mixture.1.path=…"]),
        ("data.mixture.1.drop_turns.tum=1", ["data.mixture.1.drop_turns.tum: 'tum' should be", "'semantic', 'som'"]),
        (
            "data.mixture.4.path=x",
            ["data.mixture.4.path: data.mixture is a list with entries 0 to 1, not '4'; 2 would"],
        ),
        ("data.mixture.path=x", ["data.mixture.path: data.mixture is a list with entries 0 to 1, not 'path'"]),
        ("data.mixture.0.path.x=1", ["data.mixture.0.path.x: data.mixture.0.path is 'a', which has no fields"]),
        ("data.mixture.0.weight=1", ["data.mixture: some datasets have a weight"]),
        ("data.mixture=[]", ["data.mixture: names no dataset; give one: data.mixture.0.path=OUT"]),
        ("data.rowlength=99", ["data.rowlength: unknown field", "did you mean 'row_length'?"]),
        ("model.lora.rnk=8", ["model.lora.rnk: unknown field", "did you mean 'rank'?"]),
        ("optimiser.betas=[0.9]", ["optimiser.betas.1: missing", "optimiser.betas.1=…"]),
        ("model.tile_px=33", ["model.tile_px: 33", "multiple of 32"]),
    ],
)
def test_a_mistake_is_one_line_with_field_value_and_cure(tmp_path: Path, override: str, words: list[str]) -> None:
    text = mistake(tmp_path, TWO, override)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_a_list_without_entries_says_so(tmp_path: Path) -> None:
    assert "data.mixture is a list with no entries, not '1'; 0 would be" in mistake(
        tmp_path, "data: {mixture: []}", "data.mixture.1.path=x"
    )


def test_a_part_without_default_is_of_the_first_kind() -> None:
    assert checked(VideoJob, {"source": {"uris": "a.mp4"}}).source == VideosSource(uris=["a.mp4"])


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b: 1 -> 2"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a: [1, 2] -> [1]"]),
        ({"m": [{"p": 1}]}, {"m": [{"p": 2}, {"p": 3}]}, ["m.0.p: 1 -> 2", 'm.1: null -> {"p": 3}']),
        ({"m": [{"p": 1}]}, {"m": []}, ['m.0: {"p": 1} -> null']),
    ],
)
def test_differences_are_told_leaf_by_leaf(old: object, new: object, lines: list[str]) -> None:
    assert list(differences(old, new)) == lines


@pytest.mark.parametrize("word", ["off", "on", "yes", "No"])
def test_a_part_may_be_called_by_a_word_that_old_yaml_takes_for_a_truth(tmp_path: Path, word: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"gate: {{name: {word}}}\n")
    assert load(str(own), [f"tracker.name={word}"], "pipelines.configs") == {
        "gate": {"name": word},
        "tracker": {"name": word},
    }


def test_truths_are_written_true_and_false(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("a: true\n")
    assert load(str(own), ["b=False"], "pipelines.configs") == {"a": True, "b": False}
