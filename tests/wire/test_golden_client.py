"""What other languages read is what this version computes: the golden file for clients, the Java messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["generate-golden-client", "generate-java-messages"])
def test_what_clients_are_made_from_is_up_to_date(script: str) -> None:
    found = subprocess.run([sys.executable, ROOT / "scripts" / script, "--check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
