"""What does not go together is said, not dropped."""

from __future__ import annotations

import pytest

from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms import get
from edgewise_wire.transforms.compose import check_composition


@pytest.mark.parametrize("name", ["float16", "rotated-4", "eden-1", "topk-0.01", "clip-1+eden-2"])
def test_masks_need_numbers_that_add_up(name: str) -> None:
    with pytest.raises(ConfigError, match="masks cancel only"):
        check_composition(get(name), masked=True)


@pytest.mark.parametrize("name", ["float32", "clip-1"])
def test_plain_numbers_go_with_masks(name: str) -> None:
    check_composition(get(name), masked=True)


def test_error_feedback_does_not_go_with_the_median() -> None:
    with pytest.raises(ConfigError, match=r"topk-0\.01 does not go with median"):
        check_composition(get("topk-0.01"), robust="median")
    check_composition(get("topk-0.01"))
    check_composition(get("eden-2"), robust="krum")


@pytest.mark.parametrize(
    ("name", "why"), [("eden-4", "drift from"), ("topk-0.01", "drift from"), ("clip-1", "clip the")]
)
def test_control_variates_are_sent_as_they_are(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_composition(get(name), variates="scaffold")
    check_composition(get("float32"), variates="scaffold")
