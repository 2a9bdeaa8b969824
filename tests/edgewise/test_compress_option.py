"""`edgewise coordinate --compress`: what is no encoding is said before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.cli import main


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--compress", "zip"], "encoding 'zip': not known; expected one of float32, float16"),
        (["--compress", "eden-9"], "eden: expected 1 to 4 bits, got 9"),
        (["--compress", "clip-1+topk-0.01"], "does not compose with topk-0.01"),
        (["--compress-down", "rotated-1"], "would grow from version to version"),
        (["--compress-down", "float32"], "leave it out"),
    ],
)
def test_what_is_no_encoding_is_one_line_and_status_2(
    fixture_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    model = fixture_dir / "tiny.tflite"
    with pytest.raises(SystemExit) as end:
        main(["coordinate", "--model", str(model), "--dir", str(tmp_path / "run"), *options])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
