"""With real messages and without, the weights are the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_wire.errors import ConfigError, InputError
from simulated import bits, simulated


def test_messages_change_no_bit(tmp_path: Path, fixture_dir: Path) -> None:
    options = {"rounds": 2, "cohort": 5, "algorithm": "fedadam", "compress": "eden-2"}
    found = simulated(fixture_dir, wire=True, directory=tmp_path, **options)
    quick = simulated(fixture_dir, **options)
    assert found.complete
    assert bits(found) == bits(quick)
    for slow, fast in zip(found.measured, quick.measured, strict=True):
        assert slow["loss"] == pytest.approx(fast["loss"], rel=1e-12)
    with pytest.raises(InputError, match="holds a simulation"):
        simulated(fixture_dir, wire=True, directory=tmp_path, **options)
    longer = simulated(fixture_dir, wire=True, directory=tmp_path, resume=True, **{**options, "rounds": 3})
    assert bits(longer) == bits(simulated(fixture_dir, **{**options, "rounds": 3}))


def test_messages_take_no_virtual_time(tmp_path: Path, fixture_dir: Path) -> None:
    with pytest.raises(ConfigError, match="leave the fleet 'ideal'"):
        simulated(fixture_dir, wire=True, directory=tmp_path, fleet="phones")
    with pytest.raises(ConfigError, match="at most 200 devices"):
        simulated(fixture_dir, wire=True, directory=tmp_path, devices=201)
