"""`edgewise coordinate --secure-aggregation`: one flag, and a sentence for whatever does not go with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.cli import main

pytest.importorskip("cryptography")


NOISED = "--privacy dp-fedavg --clip-norm 1 --noise-multiplier 9"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--aggregator median", "--aggregator median: it compares single updates"),
        ("--aggregator trimmed-mean --trim 0.2", "trimmed-mean: it compares single updates"),
        ("--aggregator krum --attackers 1", "krum: it compares single updates"),
        ("--norm-bound 1", "--norm-bound: the coordinator sees no update to measure"),
        ("--algorithm scaffold --fleet-size 20", "scaffold: its control variates have another range"),
        ("--compress eden-2", "--compress eden-2: a sum of such codes is no code"),
        ("--compress clip-1+rotated-4", "a sum of such codes is no code"),
        ("--buffer 4", "--buffer: masks cancel among devices that report together"),
        ("--cohort 1", "--cohort 1: the sum of one update is that update"),
        ("--secure-bits 1", "values of 2 to 24 bits, got 1"),
        ("--secure-bits 24 --cohort 1000", "take fewer bits"),
        ("--cohort 1500", "2 to 1536 devices"),
        ("--secure-range 0", "a range above 0"),
        ("--privacy dp-fedavg --noise-multiplier 1", "no --clip-norm: noise hides an update of a bounded norm"),
        ("--privacy dp-fedavg --clip-norm 1", "no --noise-multiplier: say it, or --epsilon"),
        ("--privacy dp-ftrl --clip-norm 1 --epsilon 8", "--privacy dp-ftrl: its noise is taken back in later rounds"),
        ("--privacy dp-mf --clip-norm 1 --epsilon 8", "--privacy dp-mf: its noise is taken back in later rounds"),
        (f"{NOISED} --clip-quantile 0.5", "--clip-quantile: the norm would follow a count"),
        (f"{NOISED} --population 500", "--population: who asks the devices knows the sample"),
        (f"{NOISED} --restart-every 3", "--restart-every: it belongs to dp-ftrl"),
        ("--privacy dp-fedavg --clip-norm 1 --noise-multiplier -1", "expected a number above 0, got -1"),
        (f"{NOISED} --secure-bits 22 --cohort 6", "take fewer bits a number"),
        ("--secure-dropout 0.6", "but 5 must agree"),
    ],
)
def test_what_needs_single_updates_is_refused(
    options: str, words: str, tmp_path: Path, fixture_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(fixture_dir / "tiny.tflite"), "--dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        main(["coordinate", *model, "--secure-aggregation", *options.split()])
    assert end.value.code == 2
    assert words in capsys.readouterr().err
