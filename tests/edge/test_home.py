"""A device's folder: where it is, who holds it, and that nobody else can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_edge.home import Home, default_home, read_json, write_json
from edgewise_wire.errors import UnavailableError


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"EDGEWISE_HOME": "/srv/edge", "XDG_DATA_HOME": "/x"}, Path("/srv/edge")),
        ({"XDG_DATA_HOME": "/x"}, Path("/x/edgewise")),
        ({}, Path("~/.local/share/edgewise").expanduser()),
    ],
)
def test_a_device_lives_where_it_is_told_or_in_the_users_data_folder(environment, path):
    assert default_home(environment) == path


def test_the_folder_is_its_owners_alone(tmp_path):
    home = Home(tmp_path / "a" / "b")
    assert home.path.stat().st_mode & 0o077 == 0
    assert home.blobs.is_dir()
    assert home.session.is_dir()


def test_one_agent_at_a_time_holds_it(tmp_path):
    home = Home(tmp_path)
    assert not home.in_use()
    with home.locked():
        assert home.in_use()
        with pytest.raises(UnavailableError, match="another agent runs there"), Home(tmp_path).locked(patience=0.1):
            pass
    assert not home.in_use()


def test_a_torn_or_missing_json_file_reads_as_nothing(tmp_path):
    path = tmp_path / "status.json"
    assert read_json(path) == {}
    write_json(path, {"state": "idle"})
    assert read_json(path) == {"state": "idle"}
    for torn in (b"", b'{"state": ', b"[1]", b"\xff"):
        path.write_bytes(torn)
        assert read_json(path) == {}
