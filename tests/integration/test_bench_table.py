"""Goal: a verdict of make bench is what the row's goal says: rate, CPU beside it, other contenders' own goals, times tgt.
Method: rows with made-up medians through tests/bench/table.py."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import rows  # noqa: E402
import table  # noqa: E402

BASE = {"iops": 1000.0, "cpu": 1.0, "busy": 1.0}


def verdict(name, rate, cpu, busy=1.0, tgt=10.0):
    row = next(row for row in rows.rows(True, "/nowhere") if row.name == name).entry()
    mine = {"iops": rate, "mb": rate, "cpu": cpu, "busy": busy}
    medians = {who: mine for who in row["judged"]} | {row["base"]: BASE | {"mb": 1000.0}, "tgt": {"iops": tgt, "mb": tgt}}
    return [word.split(": ")[1] for word in table.judge(row, medians).split("; ")]


@pytest.mark.parametrize("rate, cpu, busy, tgt, expected", [
    (850, 1.20, 1.0, 10, "met"),
    (850, 1.26, 1.0, 10, "missed"),  # fast, but too dear
    (790, 1.20, 1.0, 10, "missed"),
    (910, 1.14, 1.0, 10, "met (aim too)"),
    (910, 1.16, 1.0, 10, "met"),
    (910, 1.14, 1.0, 92, "missed"),  # less than ten times tgt
    (400, 1.20, 0.5, 10, "met"),  # the client was the limit
    (950, 1.30, 0.5, 10, "missed"),
])
def test_small_commands_need_rate_and_cpu(rate, cpu, busy, tgt, expected):
    assert verdict("4k-write-32", rate, cpu, busy, tgt) == [expected]


def test_where_the_core_was_not_busy_cpu_has_the_goal_turned_over():
    assert verdict("64k-write-32", 700, 1.05, busy=0.5) == ["met"]
    assert verdict("64k-write-32", 990, 1.06, busy=0.5) == ["missed"]
    assert verdict("file-read-32", 500, 1.33, busy=0.5) == ["met", "met"]
    assert verdict("file-read-32", 500, 1.34, busy=0.5) == ["missed", "met"]
    assert verdict("file-read-32", 990, 1.67, busy=0.5) == ["missed", "missed"]


def test_latency_is_judged_by_rate_though_nobody_is_busy():
    assert verdict("depth1-sleeping", 960, 1.4, busy=0.6) == ["met (aim too)"]
    assert verdict("depth1-sleeping", 940, 1.0, busy=0.6) == ["missed"]


def test_each_backend_of_the_file_store_has_its_goal():
    assert verdict("file-read-32", 740, 1.3) == ["missed", "met"]
    assert verdict("file-read-32", 590, 1.3) == ["missed", "missed"]
    assert verdict("file-read-32", 760, 1.3) == ["met (aim too)", "met (aim too)"]
