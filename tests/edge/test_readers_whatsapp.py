"""WhatsApp exports of both phones and many locales become one list a participant, without what nobody typed."""

import zipfile
from pathlib import Path

import pytest

from edgewise_edge.readers import read_people
from edgewise_edge.readers.whatsapp import matches

LRM = "\u200e"

STAMPS = [
    "31/12/2023, 22:15 - ",
    "12/31/23, 10:15 PM - ",
    "12/31/23, 10:15\u202fPM - ",
    "31/12/2023, 10:15 pm - ",
    "31/12/2023, 10:15\u00a0p.\u00a0m. - ",
    "31/12/23 10:15 p. m. - ",
    "31.12.23, 22:15 - ",
    "31.12.2023, 22:15 Uhr - ",
    "31/12/2023 22:15 - ",
    "31/12/2023 \u00e0 22:15 - ",
    "31-12-2023 22:15 - ",
    "2023-12-31, 10:15 p.m. - ",
    "2023/12/31, 22:15 - ",
    "31.12.2023 klo 22.15 - ",
    "2023. 12. 31. 22:15 - ",
    "31/12/2023, 22:15 \u2013 ",
    "[31.12.23, 22:15:03] ",
    "[31/12/2023, 22:15:03] ",
    "[12/31/23, 10:15:03 PM] ",
    "[12/31/23, 10:15:03\u202fPM] ",
    "[31/12/2023, 10:15:03 p.\u00a0m.] ",
    "[31/12/2023 \u00e0 22:15:03] ",
    "[2023/12/31 \u4e0b\u534810:15:03] ",
    "[2023-12-31, 22:15:03] ",
    "[31-12-2023 22:15:03] ",
    f"{LRM}[31.12.23, 22:15:03] ",
    "\u200f[\u0663\u0661/\u0661\u0662/\u0662\u0660\u0662\u0663, \u0662\u0662:\u0661\u0665:\u0660\u0663] ",
]


def people_in(tmp_path: Path, text: str) -> dict[str, list[str]]:
    path = tmp_path / "chat.txt"
    path.write_text(text, encoding="utf-8")
    return read_people(path)


@pytest.mark.parametrize("stamp", STAMPS)
def test_every_stamp_is_read(tmp_path: Path, stamp: str) -> None:
    text = f"{stamp}Anna: see you: at 7 - ok?\nsecond line\n\n{stamp}Ben Lee: yes\n{stamp}Anna: good\n"
    assert people_in(tmp_path, text) == {"Anna": ["see you: at 7 - ok? second line", "good"], "Ben-Lee": ["yes"]}


@pytest.mark.parametrize(
    "line",
    [
        "see you at 7",
        "1. milk",
        "12/31 party",
        "[note] hello: there",
        "7:30 - 8:30 gym",
        "2023-12-31 was cold - really",
        "",
    ],
)
def test_other_text_is_no_export(line: str) -> None:
    assert not matches([line])


NOT_TYPED = [
    "<Media omitted>",
    "<Medien ausgeschlossen>",
    f"{LRM}image omitted",
    "video omitted",
    "Bild weggelassen",
    "imagen omitida",
    f"{LRM}<attached: 00000012-PHOTO-2023-12-31.jpg>",
    f"{LRM}IMG-20231231-WA0001.jpg (file attached)",
    "PTT-20231231-WA0002.opus (Datei angeh\u00e4ngt)",
    "This message was deleted",
    "This message was deleted.",
    "You deleted this message",
    "Diese Nachricht wurde gel\u00f6scht.",
    "Se elimin\u00f3 este mensaje.",
    "Mensagem apagada",
    "Missed voice call",
    f"{LRM}Missed video call, tap to call back",
    f"{LRM}Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
    "null",
    "https://example.org/a?b=c",
    "www.example.org  \U0001f600",
    "",
]


@pytest.mark.parametrize("body", NOT_TYPED)
def test_what_nobody_typed_is_dropped_with_its_lines(tmp_path: Path, body: str) -> None:
    text = f"31/12/2023, 22:15 - Anna: kept\n31/12/2023, 22:16 - Ben: {body}\n31/12/2023, 22:17 - Anna: also kept\n"
    assert people_in(tmp_path, text) == {"Anna": ["kept", "also kept"]}


@pytest.mark.parametrize(
    "note",
    [
        "Messages and calls are end-to-end encrypted. Tap to learn more.",
        "Ben created group \u201cFriday\u201d",
        'Ben changed the subject from "Friday: food" to "Saturday: food"',
        "Anna added Ben",
        "Your security code with Ben changed.",
    ],
)
def test_lines_without_a_sender_are_dropped(tmp_path: Path, note: str) -> None:
    text = f"31/12/2023, 22:14 - {note}\nmore of it\n31/12/2023, 22:15 - Anna: hi\n"
    assert people_in(tmp_path, text) == {"Anna": ["hi"]}


def test_typed_text_that_looks_a_little_like_it_is_kept(tmp_path: Path) -> None:
    bodies = [
        "i omitted the salt",
        "look https://example.org nice",
        "this message was deleted by mistake i think",
        "<3",
        "\U0001f600",
    ]
    text = "".join(f"[31.12.23, 22:15:03] Anna: {body}\n" for body in bodies)
    assert people_in(tmp_path, text) == {"Anna": bodies}


def test_edit_notes_marks_and_mentions_are_cleaned(tmp_path: Path) -> None:
    text = f"31/12/2023, 22:15 - \u202aAnna\u202c: hi @\u2068Ben\u2069 you there {LRM}<This message was edited>\n"
    assert people_in(tmp_path, text) == {"Anna": ["hi @Ben you there"]}


def test_a_zipped_export_with_its_photos_is_read(tmp_path: Path) -> None:
    path = tmp_path / "WhatsApp Chat - Anna.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_chat.txt", "\ufeff[31.12.23, 22:15:03] Anna: hi\r\n[31.12.23, 22:15:09] Ben: hey\r\n")
        archive.writestr("00000012-PHOTO.jpg", b"\xff\xd8\xff")
    assert read_people(path) == {"Anna": ["hi"], "Ben": ["hey"]}


def test_one_person_in_two_exports_of_a_folder_is_one_device(tmp_path: Path) -> None:
    for name, other in (("a", "Ben"), ("b", "Cleo")):
        (tmp_path / f"{name}.txt").write_text(f"31/12/23, 22:15 - Anna: {name}\n31/12/23, 22:16 - {other}: yes\n")
    assert read_people(tmp_path) == {"Anna": ["a", "b"], "Ben": ["yes"], "Cleo": ["yes"]}
