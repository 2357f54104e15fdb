"""What the README shows is done here, to the letter: its blocks are applied to a copy of the project and run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs import FAST, ROOT, outcomes, write_scene

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"```python\n# (\S+\.py)(.*)\n((?:.|\n)*?)```")
LINE = re.compile(r"in place of the line that begins with (\w+)")


def section(title: str) -> list[tuple[str, str, str]]:
    """The blocks of a section: file, what to do with it, code."""
    text = (ROOT / "README.md").read_text()
    body = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [(path, words, code) for path, words, code in BLOCK.findall(body)]


def apply(blocks: list[tuple[str, str, str]], project: Path) -> None:
    for path, words, code in blocks:
        file = project / path
        if replaced := LINE.search(words):
            old = file.read_text()
            new = re.sub(rf"^{replaced[1]} = .*$", lambda match, code=code: code, old, count=1, flags=re.M)
            assert new != old
            file.write_text(new)
        elif "last case" in words:
            name = re.search(r"case (\w+)\(", code)
            assert name
            file.write_text(f"from schemas.config import {name[1]}\n{file.read_text()}{code}")
        else:
            file.write_text(code)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    wanted = ("beam_runner.py", "schemas", "transforms", "pipelines")
    folder.mkdir()
    for name in wanted:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "beam_runner.py"), "run", "video", *words, *FAST, "val_share=0"]
    return subprocess.run(command, capture_output=True, text=True, cwd=project.parent, check=False)


@pytest.mark.parametrize("title", ["How to add a tracker", "How to add a dataset"])
def test_a_new_part_takes_less_than_20_lines(title: str) -> None:
    assert 5 < sum(len([line for line in code.splitlines() if line.strip()]) for _, _, code in section(title)) <= 20


def test_a_tracker_as_the_readme_shows_it(project: Path, tmp_path: Path) -> None:
    apply(section("How to add a tracker"), project)
    write_scene(tmp_path / "videos" / "a.mp4")
    done = run(project, f"source.uris={tmp_path / 'videos'}", "tracker.name=still", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert outcomes(tmp_path / "out") == {"a.mp4": "kept"}
    assert '"name": "still"' in (tmp_path / "out/job.json").read_text()


def test_a_dataset_as_the_readme_shows_it(project: Path, tmp_path: Path) -> None:
    apply(section("How to add a dataset"), project)
    write_scene(tmp_path / "a.mp4")
    (tmp_path / "steps.csv").write_text("video,from,to,step\na,0,1,push the box\na,oops,2,nothing\n")
    words = ["source.name=steps", f"source.path={tmp_path / 'steps.csv'}", "run.max_quarantined=1"]
    done = run(project, *words, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert set(outcomes(tmp_path / "out").values()) == {"kept", "quarantined"}
    assert "1 kept" in done.stdout


def test_every_file_that_the_readme_links_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target
