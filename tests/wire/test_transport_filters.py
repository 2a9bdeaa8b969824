"""Topic filters as MQTT 3.1.1 §4.7 lays them down."""

import pytest

from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.filters import check_filter, check_topic, has_wildcard, matches


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        # The examples of the standard's own §4.7.1 and §4.7.2.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport/tennis", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor", False),
        ("+/monitor", "$SYS/monitor", False),
        ("$SYS/#", "$SYS/monitor", True),
        ("a.c", "abc", False),
        ("+/a.c", "x/abc", False),
        ("sport", "sport", True),
        ("sport", "sports", False),
        ("sport/#", "sports/tennis", False),
    ],
)
def test_a_filter_matches_as_the_standard_says(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


@pytest.mark.parametrize("pattern", ["", "sport/tennis#", "sport/#/ranking", "sport+", "a/b+/c", "a\0b", "x" * 65_536])
def test_a_malformed_filter_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="topic filter"):
        check_filter(pattern)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0b", "é" * 40_000])
def test_a_topic_to_publish_under_holds_no_wildcard(topic: str) -> None:
    with pytest.raises(ConfigError, match="topic"):
        check_topic(topic)


def test_only_filters_with_a_wildcard_count_as_such() -> None:
    assert [has_wildcard(p) for p in ("a/b", "a/+", "#")] == [False, True, True]
