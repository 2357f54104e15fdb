"""What a job's time went to: shares of the clock's time, start-up apart, and batches halved for memory."""

from pathlib import Path

import pytest

from pipelines.spent import Spent, lines_on, parse_spent, read_spent, write_spent

BUSY = Spent(
    seconds={"start": 5.0, "decode": 6.0, "track": 9.0, "encode": 1.0, "write": 0.5},
    wall_s=15.0,
    halved={"track": 4},
)


def test_the_step_with_the_largest_share_bounds_the_work_start_up_apart() -> None:
    assert list(BUSY.shares()) == ["track", "decode", "encode", "write"]
    assert BUSY.shares()["track"] == pytest.approx(0.9)


def test_people_are_told_in_two_lines_at_most() -> None:
    assert lines_on(BUSY, ["track"]) == [
        "time      10.0 s of work after 5.0 s of start-up, bound by track (track 90%, decode 60%, encode 10%)",
        "networks  track busy 90% of it; batch of track halved to 4 for want of memory",
    ]
    assert len(lines_on(BUSY, [])) == 1


def test_nothing_is_told_of_work_that_was_not_timed() -> None:
    assert lines_on(Spent(), ["track"]) == []
    assert lines_on(parse_spent({"seconds": {"track": 3.0}}), []) == [], "of an older job"


def test_plain_values_name_the_bound_and_come_back() -> None:
    plain = BUSY.plain(["track"])
    assert (plain["bound_by"], plain["networks_busy"], plain["halved_batches"]) == ("track", 0.9, {"track": 4})
    assert parse_spent(plain) == BUSY
    assert BUSY.plain([])["networks_busy"] == 0.0


def test_shards_add_up_and_the_smallest_batch_is_told(tmp_path: Path) -> None:
    out = str(tmp_path)
    write_spent(out, "train-000000", BUSY)
    write_spent(out, "train-000001", Spent(seconds={"track": 1.0}, wall_s=2.0, halved={"track": 2, "objects": 8}))
    (tmp_path / "plan/train-000002.seconds.json").write_text('{"torn')
    both = read_spent(out, ["train-000000", "train-000001", "train-000002", "train-000003"])
    assert (both.wall_s, both.seconds["track"], both.seconds["decode"]) == (17.0, 10.0, 6.0)
    assert both.halved == {"track": 2, "objects": 8}
