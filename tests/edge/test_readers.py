"""Text is found and told apart by its content, people get safe names, and what is no text is refused in one line."""

import json
import zipfile
from pathlib import Path

import pytest

from edgewise_edge.readers import people, read_people, sources
from edgewise_edge.readers.people import device_names
from edgewise_wire.errors import DataError
from edgewise_wire.topics import check_name


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


FOLDER = {
    "ben.txt": "see you\n\n  at seven  \n",
    "anna.jsonl": '"on my way"\n{"text": "ok", "time": 5}\n\n',
    "notes.pdf": b"%PDF-1.4 not read",
    ".hidden.txt": "not read",
}


def test_a_folder_has_one_person_a_file_by_name(tmp_path: Path) -> None:
    found = read_people(write(tmp_path, FOLDER))
    assert found == {"anna": ["on my way", "ok"], "ben": ["see you", "at seven"]}
    assert list(found) == ["anna", "ben"]


def test_a_zip_of_such_a_folder_is_the_same(tmp_path: Path) -> None:
    members = {f"export/{name}": content for name, content in FOLDER.items()}
    path = zipped(tmp_path / "people.zip", {**members, "__MACOSX/export/ben.txt": "not read"})
    assert read_people(path) == {"anna": ["on my way", "ok"], "ben": ["see you", "at seven"]}


def test_a_single_text_file_is_one_person(tmp_path: Path) -> None:
    write(tmp_path, {"my diary.txt": "one\ntwo"})
    assert read_people(str(tmp_path / "my diary.txt")) == {"my-diary": ["one", "two"]}


def test_json_lines_are_known_by_content_too(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": '{"text": "hi"}\n{"text": "there"}\n'})
    assert read_people(tmp_path) == {"a": ["hi", "there"]}


def test_a_quoted_sentence_in_plain_text_stays_one(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": '"see you", she said\n"ok"\n'})
    assert read_people(tmp_path) == {"a": ['"see you", she said', '"ok"']}


@pytest.mark.parametrize("line", ["5", '{"txt": "hi"}', '{"text": 5}', "[1", "{" * 60_000])
def test_a_bad_json_line_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, {"a.jsonl": f'"fine"\n{line}\n'})
    with pytest.raises(DataError, match=r"a\.jsonl, line 2"):
        read_people(tmp_path)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "na\u00efve caf\u00e9 \u4f60\u597d"),
        ("utf-8-sig", "na\u00efve caf\u00e9"),
        ("utf-16", "na\u00efve \u4f60\u597d"),
        ("utf-16-le", "naive caf\u00e9 without a mark"),
        ("utf-16-be", "naive caf\u00e9 without a mark"),
        ("utf-32", "naive caf\u00e9"),
        ("latin-1", "na\u00efve caf\u00e9"),
        ("cp1252", "don\u2019t \u20ac5"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings(tmp_path: Path, encoding: str, text: str, end: str) -> None:
    write(tmp_path, {"a.txt": f"{text}{end}second{end}".encode(encoding)})
    assert read_people(tmp_path) == {"a": [text, "second"]}


def test_a_late_western_byte_does_not_spoil_the_file(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"plain line\n" * 20_000 + b"caf\xe9\n"})
    assert read_people(tmp_path)["a"][-1] == "caf\u00e9"


@pytest.mark.parametrize(
    "content",
    [b"", b" \n\n", bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9, b"\x7fELF\x02\x01\x01" + b"\0" * 99],
)
def test_what_is_no_text_is_refused_in_one_line_that_says_what_is_read(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, {"a.txt": content})
    with pytest.raises(DataError) as caught:
        read_people(tmp_path / "a.txt")
    message = str(caught.value)
    assert "a.txt: found no text" in message
    assert "WhatsApp" in message
    assert "\n" not in message


def test_an_empty_folder_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no \.txt"):
        read_people(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: there is no such file"):
        read_people(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"found no \.txt"):
        read_people(zipped(tmp_path / "a.zip", {"photo.jpg": b"\xff\xd8"}))


def test_a_damaged_or_locked_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": "see you at seven\n" * 500})
    whole = bytearray(path.read_bytes())
    damaged = whole.copy()
    damaged[60:70] = b"\xff" * 10
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.zip:a\.txt: the archive is damaged"):
        read_people(path)
    locked = whole.copy()
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(mark) + offset] |= 1
    path.write_bytes(locked)
    with pytest.raises(DataError, match="cannot be opened"):
        read_people(path)


def test_a_zip_bomb_ends_at_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.Budget.__init__, "__defaults__", (1_000_000,))
    path = zipped(tmp_path / "a.zip", {f"{n}.txt": b"a b\n" * 100_000 for n in range(3)})
    assert path.stat().st_size < 5000
    with pytest.raises(DataError, match="MiB of text in all"):
        read_people(path)


def test_too_many_messages_people_or_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {f"{n}.txt": "hi\n" * 5 for n in range(4)})
    for module, name, value in ((people, "MESSAGES", 19), (people, "PEOPLE", 3), (sources, "FILES", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            with pytest.raises(DataError, match="split it"):
                read_people(tmp_path)
    assert sum(map(len, read_people(tmp_path).values())) == 20


def test_endless_lines_are_cut_and_the_next_line_is_whole(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "word " * 100_000 + "\nnext\n"})
    first, second = read_people(tmp_path)["a"]
    assert len(first) <= people.MESSAGE_CHARACTERS
    assert second == "next"


def test_names_are_safe_stable_and_never_shared() -> None:
    given = [
        "Anna",
        "anna",
        "A\u00efda \U0001f600",
        "+65 9123 4567",
        "\u4f60\u597d",
        "\u518d\u89c1",
        "-",
        "x" * 90,
        "x" * 91,
        "a/b#+",
    ]
    names = device_names(given)
    for name in names.values():
        check_name("device", name)
    assert len({name.lower() for name in names.values()}) == len(given)
    assert names["A\u00efda \U0001f600"] == "Aida"
    assert names["Anna"] == "Anna"
    assert names["anna"] == "anna-2"
    assert device_names(["\u518d\u89c1"])["\u518d\u89c1"] == names["\u518d\u89c1"]
    assert names == device_names(given)


def test_a_numbered_name_does_not_meet_one_that_is_there(tmp_path: Path) -> None:
    assert list(device_names(["a!", "a?", "a-2"]).values()) == ["a", "a-2", "a-2-2"]


def test_the_json_of_something_else_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": json.dumps({"pages": [1, 2]}, indent=1)})
    with pytest.raises(DataError, match=r"a\.json: JSON of another kind"):
        read_people(tmp_path)
