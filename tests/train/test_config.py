"""The config of a training: where its datasets lie, and what a resumed one may not change."""

from pathlib import Path

import pytest

from schemas.errors import UserError
from train.config import config_differences, load_config

CONTENT = "data: {mixture: [{path: OUT}, {path: s3://bucket/OUT}]}\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "own.yaml").write_text(CONTENT)
    return str(tmp_path / "own.yaml")


def test_datasets_are_seen_from_the_current_folder(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    mixture = load_config(path).data.mixture
    assert [dataset.path for dataset in mixture] == [str(elsewhere / "OUT"), "s3://bucket/OUT"]


def test_only_how_it_runs_may_change(path: str) -> None:
    saved = load_config(path).model_dump(mode="json")
    assert config_differences(saved, load_config(path)) == []
    assert config_differences(saved, load_config(path, ["run.workers=1", "run.save_every=7"])) == []
    changed = load_config(path, ["steps=7", "data.mixture.1.limit=5", "run.workers=1"])
    assert config_differences(saved, changed) == ["data.mixture.1.limit: 0 -> 5", "steps: 0 -> 7"]


def test_a_mistake_names_the_field_and_its_neighbours(path: str) -> None:
    with pytest.raises(UserError, match=r"data\.mixture\.0\.pth: unknown field; did you mean 'path'"):
        load_config(path, ["data.mixture.0.pth=x"])
