"""A WhatsApp chat export: each participant is a person.

Android writes `31/12/2023, 22:15 - Name: text`, iOS `[31.12.23, 22:15:03] Name: text`, both with the date, time and
am/pm of the phone's locale. Nothing here reads the date: only its shape matters. Lines without a stamp go on with the
message above. What nobody typed is dropped: notes without a sender, media, deleted messages, calls, links alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from edgewise_edge.readers.sources import Source

SENDER_CHARACTERS: Final = 60  # WhatsApp names have 25 at most, a phone's contact some more
LINES: Final = 200  # of one message; what follows is skipped

_DATE = r"\d{1,4}[./-]\s?\d{1,2}[./-]\s?\d{1,4}\.?"
_BETWEEN = r"[,،]?\s+(?:[^\W\d_]{1,8}\.?\s*)?"  # ", " or " à " (French) or " 下午" (am/pm before the time)
_TIME = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?"
_HALF = r"(?:\s?[^\W\d_]{1,4}\.?(?:\s?[^\W\d_]{1,2}\.?)?)?"  # "PM", " p.m.", " p. m.", " Uhr"
_ANDROID = re.compile(rf"{_DATE}{_BETWEEN}{_TIME}{_HALF}\s+[-–]\s+(.*)", re.DOTALL)
_IOS = re.compile(rf"\[{_DATE}{_BETWEEN}{_TIME}{_HALF}\]\s+(.*)", re.DOTALL)

# Direction marks, isolates around mentions, the byte-order mark. A body that begins with one was written by the app.
_MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_NO_MARKS = str.maketrans("", "", _MARKS)
_APP_MARK = "\u200e"

_URL = re.compile(r"(?:https?://|www\.)\S+")
_EDITED = re.compile(r"\s*<[^<>]*(?:edited|bearbeitet|edit[oó]|editad|modifi|bewerkt|diedit)[^<>]*>$", re.IGNORECASE)
_NOT_TYPED = re.compile(
    r"""<[^<>]*>                                        # <Media omitted>, <attached: ...>, in any language
    | \S+(?:\s\S+)?\s(?:omitted|weggelassen|omitid[oa]|omise?|omess[oa]|weggelaten|ocultad[oa])
    | \S+\.\w{2,4}\s\([^()]{3,40}\)                     # IMG-20231231-WA0001.jpg (file attached)
    | (?:this\smessage\swas|you)\sdeleted(?:\sthis\smessage|\sby\sadmin.*)?
    | (?:diese\snachricht\swurde|du\shast\sdiese\snachricht)\sgel[oö]scht
    | (?:este\smensaje\sfue\seliminado|eliminaste\seste\smensaje|se\seliminó\seste\smensaje)
    | (?:ce\smessage\sa\sété\ssupprimé|vous\savez\ssupprimé\sce\smessage)
    | (?:questo\smessaggio\sè\sstato\seliminato|hai\seliminato\squesto\smessaggio)
    | (?:mensagem\sapagada|esta\smensagem\sfoi\sapagada|você\sapagou\sesta\smensagem|apagou\sesta\smensagem)
    | (?:dit\sbericht\sis\sverwijderd|je\shebt\sdit\sbericht\sverwijderd|u\shebt\sdit\sbericht\sverwijderd)
    | (?:pesan\sini\stelah\sdihapus|anda\stelah\smenghapus\spesan\sini|anda\smenghapus\spesan\sini)
    | missed\s(?:group\s)?(?:voice|video)\scall.*
    | waiting\sfor\sthis\smessage.*
    | live\slocation\sshared
    | .*end-to-end\sencrypt.*
    | null""",
    re.VERBOSE | re.IGNORECASE,
)


def matches(lines: Sequence[str]) -> bool:
    """Return whether a file whose first lines these are is an export: it begins with a stamp."""
    return bool(lines) and _rest(lines[0]) is not None


def messages(source: Source) -> Iterator[tuple[str, str]]:
    """Yield (participant, message) in file order; the lines of one message are joined by a line feed."""
    sender, body = "", [""]
    for line in source.lines():
        rest = _rest(line)
        if rest is None:
            if len(body) < LINES:
                body.append(line)
            continue
        yield from _typed(sender, body)
        sender, body = _split(rest)
    yield from _typed(sender, body)


def _rest(line: str) -> str | None:
    """Return what follows the stamp, or `None` if the line begins with none."""
    stamped = line.lstrip(_MARKS + " ")
    found = _ANDROID.fullmatch(stamped) or _IOS.fullmatch(stamped)
    return found[1] if found else None


def _split(rest: str) -> tuple[str, list[str]]:
    """Return (sender, first line); the sender is empty for a note of the app, such as a changed subject."""
    sender, colon, body = (rest + " ").partition(": ")
    sender = sender.translate(_NO_MARKS).strip()
    if not colon or len(sender) > SENDER_CHARACTERS or any(quote in sender for quote in '"“„«'):
        return "", [""]
    return sender, [body]


def _typed(sender: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the message if a person typed it."""
    if not sender or lines[0].startswith(_APP_MARK):
        return
    body = _EDITED.sub("", "\n".join(lines).translate(_NO_MARKS).strip())
    if not body or _NOT_TYPED.fullmatch(body.rstrip(".")):
        return
    without = _URL.sub("", body)
    if without == body or re.search(r"\w", without):
        yield sender, body
