"""The pages say what `matrix` and `refusals` hold: every row by its name, every refusal in the exporter's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_models.matrix_page import Row, block_of, compact_table, full_table, names_in, replaced, subjects
from edgewise_models.refusals import REFUSALS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text("utf-8")


def _names():
    found = {}
    for subject in subjects():
        found.setdefault(subject.family, []).append(subject.name)
    return found


def test_the_matrix_on_the_page_has_every_row_and_no_other():
    table = block_of(PAGE, "matrix")
    if not table:
        pytest.skip("the matrix has not been written: scripts/test-export-matrix --write")
    assert {family: names_in(table, family) for family in _names()} == _names()
    assert "refused:" not in table


def test_the_readme_counts_what_the_matrix_has():
    table = block_of((ROOT / "README.md").read_text("utf-8"), "matrix")
    if not table:
        pytest.skip("the matrix has not been written: scripts/test-export-matrix --write")
    counts = [int(line.split()[1]) for line in table.splitlines()[2:]]
    assert counts == [len(names) for names in _names().values()]


def test_tables_are_written_where_they_stand_and_found_again():
    rows = [Row(family, name, {"litert": 2e-6, "tflite": 3e-5}) for family, names in _names().items() for name in names]
    page = replaced("before\n<!-- matrix -->\nold\n<!-- /matrix -->\nafter\n", "matrix", full_table(rows))
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert {family: names_in(block_of(page, "matrix"), family) for family in _names()} == _names()
    short = compact_table(rows)
    assert len(short.splitlines()) == 2 + len(_names())
    assert max(map(len, short.splitlines())) < 1200
    assert "≤ 3e-05" in short


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case.group}: {case.name}")
def test_what_is_refused_is_refused_in_the_words_of_the_page(case):
    said = case.message()
    assert said
    assert f"| {case.group} | {case.name} | `{said.replace('|', '/')}` |" in block_of(PAGE, "refused")


def test_the_page_lists_no_other_refusal():
    assert len(block_of(PAGE, "refused").splitlines()) == 2 + len(REFUSALS)
