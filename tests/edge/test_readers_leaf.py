"""LEAF's JSON becomes one list a user in each of the forms that its text data sets have."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgewise_edge.readers import leaf, read_people
from edgewise_wire.errors import DataError


def leaf_file(folder: Path, data: dict[str, list[Any]], name: str = "all_data_0.json", **settings: Any) -> Path:
    whole = {
        "users": list(data),
        "num_samples": [len(items) for items in data.values()],
        "user_data": {user: {"x": items, "y": [0] * len(items)} for user, items in data.items()},
    }
    path = folder / name
    path.write_text(json.dumps(whole, **settings))
    return path


@pytest.mark.parametrize("settings", [{}, {"indent": 2}])
def test_texts_stand_by_user(tmp_path: Path, settings: dict) -> None:
    path = leaf_file(tmp_path, {"u1": ["see you", "ok then"], "u2": ["hi"]}, **settings)
    assert read_people(path) == {"u1": ["see you", "ok then"], "u2": ["hi"]}


def test_a_folder_of_such_files_is_read_together(tmp_path: Path) -> None:
    leaf_file(tmp_path, {"u1": ["a b"]}, "all_data_0.json")
    leaf_file(tmp_path, {"u2": ["c d"], "u1": ["e f"]}, "all_data_1.json")
    assert read_people(tmp_path) == {"u1": ["a b", "e f"], "u2": ["c d"]}


def test_reddits_token_lists_lose_their_marks(tmp_path: Path) -> None:
    comment = [["<BOS>", "that", "is", "nice"], ["of", "you", "<EOS>", "<PAD>"]]
    path = leaf_file(tmp_path, {"u": [comment, ["just", "tokens"]]})
    assert read_people(path) == {"u": ["that is nice of you", "just tokens"]}


def test_a_tweets_row_gives_its_text(tmp_path: Path) -> None:
    row = ["1467810672", "Mon Apr 06 22:19:49 PDT 2009", "NO_QUERY", "someone", "so tired today", "training"]
    assert read_people(leaf_file(tmp_path, {"u": [row]})) == {"u": ["so tired today"]}


def test_shakespeares_sliding_windows_are_put_together_and_cut_into_sentences(tmp_path: Path) -> None:
    text = "Come in, sir. You are welcome here! Where were you?"
    windows = [text[at : at + 10] for at in range(len(text) - 9)]
    other = "A new day."
    path = leaf_file(tmp_path, {"u": [*windows, other]})
    assert read_people(path) == {"u": ["Come in, sir.", "You are welcome here!", "Where were you?", "A new day."]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"users": ["a"], "user_data": {"a": {"x": [[0.5, 1.0]]}}}', "this data set is no text"),
        ('{"users": ["a"], "user_data": {"a": {"x": [5]}}}', "found int"),
        ('{"users": ["a"], "user_data": {"a": {"x": "text"}}}', "user 'a'"),
        ('{"users": ["a"], "user_data": {"a": [1]}}', "user 'a'"),
        ('{"users": ["a"], "user_data": []}', "another kind"),
        ('{"users": ["a"], "user_data": {}}', "found no text"),
        ('{"users": ["a"], "user_da', "broken JSON"),
        ('{"a":' * 100_000, "broken JSON"),
    ],
)
def test_what_is_no_leaf_text_is_refused_in_one_line(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_people(path)
    assert "\n" not in str(caught.value)


def test_a_file_too_large_to_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = leaf_file(tmp_path, {"u": ["words"] * 100})
    monkeypatch.setattr(leaf, "FILE_CHARACTERS", 500)
    with pytest.raises(DataError, match="at most 500 characters"):
        read_people(path)
