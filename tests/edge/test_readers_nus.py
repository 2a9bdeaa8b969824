"""The NUS SMS corpus's XML becomes one list a user; entity bombs and other XML are refused."""

import zipfile
from pathlib import Path

import pytest

from edgewise_edge.readers import read_people, sources
from edgewise_edge.readers.people import MESSAGE_CHARACTERS
from edgewise_wire.errors import DataError

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "nus_sms_en.xml.zip"


def message(user: str, text: str) -> str:
    return (
        f'<message id="1"><text>{text}</text><source><srcNumber>9</srcNumber><phoneModel manufactuer="unknown" />'
        f"<userProfile><userID>{user}</userID><age>unknown</age></userProfile></source>"
        '<messageProfile language="en" time="unknown" type="unknown" /></message>'
    )


def corpus(*messages: str, before: str = "") -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{before}<smsCorpus version="1.2">{"".join(messages)}</smsCorpus>'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sms.xml"


def test_messages_stand_by_user_in_file_order(path: Path) -> None:
    path.write_text(
        corpus(message("51", "see &lt;you&gt; &amp; me"), message("7", "ok"), message(" 51 ", "two\nlines"))
    )
    assert read_people(path) == {"51": ["see <you> & me", "two lines"], "7": ["ok"]}


def test_zipped_and_in_a_folder_it_is_the_same(path: Path) -> None:
    path.write_text(corpus(message("51", "hi")))
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "sms.xml")
    assert read_people(path.with_suffix(".zip")) == read_people(path) == read_people(path.parent) == {"51": ["hi"]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_declared_encodings_are_followed(path: Path, encoding: str) -> None:
    text = corpus(message("51", "caf\u00e9")).replace("UTF-8", encoding.replace("-sig", ""))
    path.write_bytes(text.encode(encoding))
    assert read_people(path) == {"51": ["caf\u00e9"]}


def test_a_message_without_user_or_text_is_left_out(path: Path) -> None:
    path.write_text(corpus(message("", "lost"), message("5", " "), message("5", "kept")))
    assert read_people(path) == {"5": ["kept"]}


BOMB = '<!DOCTYPE smsCorpus [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
EXTERNAL = '<!DOCTYPE smsCorpus [<!ENTITY a SYSTEM "file:///etc/hostname">]>\n'


@pytest.mark.parametrize("declaration", [BOMB, EXTERNAL, '<!DOCTYPE smsCorpus SYSTEM "sms.dtd">\n'])
def test_a_document_type_is_refused_before_any_entity(path: Path, declaration: str) -> None:
    path.write_text(corpus(message("5", "&a;&b;"), before=declaration))
    with pytest.raises(DataError, match=r"sms\.xml: .*DOCTYPE.* is refused"):
        read_people(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<?xml version='1.0'?><feed><entry/></feed>", "expected the root <smsCorpus>, found <feed>"),
        ("<html><body>hi</body></html>", "found <html>"),
        (corpus(message("5", "hi"))[:-20], "broken XML"),
        (corpus("<message><text>a & b</text></message>"), "broken XML"),
        (corpus("<a>" * 500), "nested deeper"),
        ('<?xml version="1.0" encoding="klingon"?><smsCorpus/>', "broken XML"),
        (corpus(), "found no text"),
    ],
)
def test_other_or_broken_xml_is_refused_in_one_line(path: Path, content: str, reason: str) -> None:
    path.write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_people(path)
    assert "\n" not in str(caught.value)


def test_one_endless_message_is_cut(path: Path) -> None:
    path.write_text(corpus(message("5", "word " * 100_000), message("5", "next")))
    first, second = read_people(path)["5"]
    assert len(first) <= MESSAGE_CHARACTERS
    assert second == "next"


def test_a_bomb_in_a_zip_ends_at_the_budget(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.Budget.__init__, "__defaults__", (500_000,))
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sms.xml", corpus(message("5", "word " * 500_000)))
    with pytest.raises(DataError, match="MiB of text"):
        read_people(path.with_suffix(".zip"))


@pytest.mark.skipif(not REAL.exists(), reason="the NUS SMS corpus is not beside the checkout (../shared/data)")
def test_the_real_corpus_is_whole() -> None:
    found = read_people(REAL)
    assert len(found) == 248
    assert sum(map(len, found.values())) == 42_073
    assert max(map(len, found.values())) == 4_951
