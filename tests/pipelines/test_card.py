"""The card: types that `datasets` understands, and every fact a reader needs."""

import pytest
import yaml

from pipelines.card import dataset_card, features, front_matter, parse_front_matter
from schemas.sample import Part

ALL = ["json", "jpg", "clean.jpg", "img01.jpg", "img02.jpg", "npz"]


def card(**changed):
    given = {
        "dataset": "made_up",
        "counts": {"records": {"kept": 3}, "reasons": {"item filtered: too_short": 2}},
        "splits": {"train": ["train-000001.tar"], "val": []},
        "members": ALL,
        "licences": ["CC-BY-4.0", "", "CC0 | public domain"],
        "parts": [Part(role="tracker", name="cotracker", weights_sha256="ab12", licence="CC-BY-NC-4.0")],
        "config_hash": "0123456789abcdef",
        "code_version": "fedcba9876543210",
    }
    return dataset_card(**(given | changed))


@pytest.mark.parametrize("members", [[], ["json"], ["json", "jpg"], ALL, reversed(ALL)])
def test_features_are_in_the_form_of_datasets(members):
    datasets = pytest.importorskip("datasets")
    made = features(members)
    assert datasets.Features._from_yaml_list(made)._to_yaml_list() == made


def test_features_come_in_the_order_of_the_members():
    names = [column["name"] for column in features(reversed(ALL))]
    assert names == [*ALL, "__key__", "__url__"]


def test_front_matter_survives_the_file():
    splits = {"train": ["train-000001.tar"], "val": []}
    matter = parse_front_matter(card())
    assert matter == front_matter(splits, ALL)
    assert matter["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "shards/train-*.tar"}]}
    ]


def test_nothing_kept():
    made = card(splits={"train": [], "val": []}, members=[])
    assert "configs" not in parse_front_matter(made)
    assert "nothing to load" in made


@pytest.mark.parametrize("text", ["", "# no matter", "---\na: 1\n", "text\n---\na: 1\n---\n"])
def test_no_front_matter(text):
    with pytest.raises(ValueError, match="no front matter"):
        parse_front_matter(text)


def test_bad_yaml_is_an_error_of_yaml():
    with pytest.raises(yaml.YAMLError):
        parse_front_matter("---\na: [\n---\n")


@pytest.mark.parametrize(
    "fact",
    [
        "# made_up",
        "| records / kept | 3 |",
        "too_short — The shot is shorter",
        "CC-BY-4.0, CC0 | public domain; some inputs do not state one",
        "| tracker | cotracker | CC-BY-NC-4.0 | ab12 |",
        'split="train", streaming=True',
        "shards/train-000001.tar",
        "`0123456789abcdef`",
        "origin at the outer corner of the top-left pixel",
    ],
)
def test_prose_says(fact):
    assert fact in card()
