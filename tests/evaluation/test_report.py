"""The figures of the report, by what matplotlib is told to draw."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from jobs.evaluation import report


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the figures that a test makes, in their order."""
    axes: list[Any] = []
    monkeypatch.setattr(report, "_svg", lambda figure: axes.append(figure.axes[0]) or "")
    return axes


def test_the_bars_of_a_slice_stand_side_by_side_around_its_name(drawn: list[Any]) -> None:
    row = {"method": "default", "metric": "recall", "users": 9}
    values = {"no text": 0.1, "template": 0.2, "enriched": 0.25}
    others = [
        row | {"slice": "all", "values": values, "metric": "ndcg"},
        row | {"slice": "all", "values": values, "method": "popular"},
    ]
    of_cold = {"no text": 0.0, "template": 0.3, "enriched": 0.4}
    rows = [row | {"slice": "all", "values": values}, row | {"slice": "cold", "values": of_cold}]
    report._arms(rows + others)
    (axes,) = drawn
    assert list(axes.get_xticks()) == [0, 1]
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    third = 0.8 / 3
    assert edges == [
        pytest.approx((place - 0.4 + n * third, place - 0.4 + (n + 1) * third))
        for place in (0, 1)
        for n in range(3)
    ]
    assert [bar.get_height() for bar in bars] == [0.1, 0.2, 0.25, 0.0, 0.3, 0.4]


def test_each_point_of_the_curve_says_how_long_its_lists_are(drawn: list[Any]) -> None:
    rows = [{"k": 1, "coverage": 0.25, "recall": 0.5}, {"k": 20, "coverage": 0.5, "recall": 0.75}]
    report._curve(rows)
    (axes,) = drawn
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        (" top 1", (0.25, 0.5)),
        (" top 20", (0.5, 0.75)),
    ]
    assert axes.lines[0].get_xydata().tolist() == [[0.25, 0.5], [0.5, 0.75]]
    assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 0)


def test_over_days_each_metric_is_a_line_within_its_interval(drawn: list[Any]) -> None:
    rows = [
        {"as_of": date(2017, 12, day), "metric": metric, "value": value} | interval
        for day, metric, value, interval in (
            (28, "ndcg", 0.2, {"low": 0.1, "high": 0.4}),
            (29, "ndcg", 0.3, {"low": 0.2, "high": 0.4}),
            (29, "recall", 0.5, {"low": 0.4, "high": 0.6}),
        )
    ]
    report._over_days(rows)
    (axes,) = drawn
    assert [(line.get_label(), list(line.get_ydata())) for line in axes.lines] == [
        ("ndcg", [0.2, 0.3]),
        ("recall", [0.5]),
    ]
    between = [path.get_extents().get_points()[:, 1] for path in axes.collections[0].get_paths()]
    assert [list(ends) for ends in between] == [[0.1, 0.4]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ndcg", "recall"]
    assert axes.get_ylim()[0] == 0


def test_a_figure_of_no_rows_is_empty_and_has_no_legend(drawn: list[Any]) -> None:
    report._over_days([])
    (axes,) = drawn
    assert axes.get_legend() is None
    assert len(axes.lines) == 0


def test_the_first_row_is_the_highest_bar_with_its_interval(drawn: list[Any]) -> None:
    rows = [
        {"channel": "i2i", "value": 0.5, "low": 0.25, "high": 0.625, "users": 1200},
        {"channel": "popular", "value": 0.25, "low": 0.125, "high": 0.5, "users": 7},
    ]
    report._bars(rows, "channel", "recall@20")
    (axes,) = drawn
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "i2i (1,200 users)",
        "popular (7 users)",
    ]
    middles = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.patches]
    assert middles == [pytest.approx((2, 0.5)), pytest.approx((1, 0.25))]
    (intervals,) = axes.collections
    assert [segment.tolist() for segment in intervals.get_segments()] == [
        [[0.25, 2.0], [0.625, 2.0]],
        [[0.125, 1.0], [0.5, 1.0]],
    ]
