"""Power cuts, simulated: what a process wrote, recorded by strace; and the disks that a cut could leave of it.

A cut at any moment keeps what was synced. Of what was not, it may keep nothing (`nothing_more`), all (`all_of_it`,
which is also what SIGKILL leaves) or any part of it, in any order (`any_of_it`). Modelled as Pillai et al. 2014
("All File Systems Are Not Created Equal", OSDI, §3) do: a file's bytes are safe after fsync or fdatasync of the file; a
rename or removal after fsync of its folder; a new file's name after fsync of the file or of its folder, as ext4, XFS,
btrfs and F2FS keep it. Not modelled: sectors torn in the middle, disks that lie about a sync, memory-mapped writes
(SQLite's -shm, which it makes anew).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

CALLS = (
    "openat,open,creat,write,writev,pwrite64,lseek,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "sendto,sendfile,copy_file_range"
)
LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?(?: .*)?$", re.S)
HANDLE = re.compile(r"(-?\d+|AT_FDCWD)<((?:->|[^>\\]|\\.)*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def strace(log: Path) -> list[str]:
    """Return the command that records into `log`."""
    return ["strace", "-f", "-yy", "-qq", "-xx", "-s", "4000000", "-e", f"trace={CALLS}", "-o", str(log)]


@dataclass
class Inode:
    """One file's life."""

    number: int


@dataclass(frozen=True)
class Event:
    """Something that changes what a cut leaves: a write, a sync, a name; or something said over a socket."""

    kind: str
    path: str = ""
    inode: int = 0
    at: int = 0
    data: bytes = b""
    target: str = ""


@dataclass
class Recording:
    """Everything a process did to the files under one folder, in order."""

    root: Path
    events: list[Event] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    inodes: int = 0
    start: dict[str, bytes] = field(default_factory=dict)

    def begin(self) -> Recording:
        """Take what is there before the process starts; all of it is safe."""
        for path in self.root.rglob("*"):
            if path.is_file():
                self.start[str(path)] = path.read_bytes()
                self._add_name(str(path))
        return self

    def read(self, log: Path) -> Recording:
        """Take what strace recorded."""
        for line in joined(log.read_text("latin-1").splitlines()):
            found = LINE.match(line)
            if found and not found[4].startswith("-"):
                self._take(found[2], found[3], int(found[4]), found[5] or "")
        return self

    def _add_name(self, path: str) -> int:
        self.inodes += 1
        self.names[path] = self.inodes
        return self.inodes

    def _note(self, kind: str, path: str = "", **more: object) -> None:
        self.events.append(Event(kind, path, self.names.get(path, 0), **more))  # type: ignore[arg-type]

    def _mine(self, path: str) -> bool:
        scratch = str(self.root / "session" / "model")  # a copy that means nothing, wherever it ends
        return path.startswith(f"{self.root}/") and not path.endswith("-shm") and path != scratch

    def _take(self, call: str, arguments: str, result: int, opened: str) -> None:
        if call in ("openat", "open", "creat"):
            path = plain(opened)
            if self._mine(path):
                if path not in self.names and ("O_CREAT" in arguments or call == "creat"):
                    self._add_name(path)
                    self._note("create", path)
                if "O_TRUNC" in arguments:
                    self._note("truncate", path, at=0)
                self.places[(str(result), path)] = 0
            return
        texts = [bytes.fromhex(one.replace("\\x", "")) for one in TEXT.findall(arguments)]
        if call.startswith(("rename", "unlink")):
            self._take_names(call, [one.decode() for one in texts], arguments)
            return
        handle = HANDLE.match(arguments)
        if handle is None:
            return
        number, path = handle[1], plain(handle[2])
        if handle[2].startswith("TCP:") and texts:
            self.events.append(Event("said", data=b"".join(texts)[:result]))
        elif path == str(self.root) or (Path(path).is_dir() and path.startswith(str(self.root))):
            if call in ("fsync", "fdatasync"):
                self.events.append(Event("sync folder", path))
        elif self._mine(path) and path in self.names:
            self._take_bytes(call, number, path, arguments, result, b"".join(texts))

    def _take_bytes(self, call: str, number: str, path: str, arguments: str, result: int, data: bytes) -> None:
        place = (number, path)
        if call in ("write", "writev"):
            at = self.places.get(place, 0)
            self.places[place] = at + result
            self._note("write", path, at=at, data=data[:result])
        elif call == "pwrite64":
            self._note("write", path, at=int(arguments.rsplit(",", 1)[1]), data=data[:result])
        elif call == "lseek":
            self.places[place] = result
        elif call == "ftruncate":
            self._note("truncate", path, at=int(arguments.rsplit(",", 1)[1]))
        elif call in ("fsync", "fdatasync"):
            self._note("sync", path)
        else:
            raise AssertionError(f"{call} of {path}: its bytes are not recorded")

    def _take_names(self, call: str, paths: Sequence[str], arguments: str) -> None:
        folder = HANDLE.match(arguments)
        whole = [path if path.startswith("/") else f"{plain(folder[2])}/{path}" if folder else path for path in paths]
        if not self._mine(whole[0]):
            return
        if call.startswith("rename"):
            self._note("rename", whole[0], target=whole[1])
            self.names[whole[1]] = self.names.pop(whole[0], 0)
        else:
            self._note("remove", whole[0])
            self.names.pop(whole[0], None)

    def moments(self) -> Iterator[int]:
        """Yield where a cut is worth trying: before and after everything that makes something safe, or is said."""
        worth = {0, len(self.events)}
        for at, event in enumerate(self.events):
            if event.kind in ("sync", "sync folder", "rename", "remove", "said"):
                worth |= {at, at + 1}
        yield from sorted(worth)

    def leave(self, at: int, keeps: Callable[[Event], bool], folder: Path) -> Path:
        """Write into `folder` the disk that a cut after `at` events leaves, if of what was not synced `keeps` says so.

        Each file is replayed by its inode; names are replayed in their order, each if it is safe or kept.
        """
        past = self.events[:at]
        contents: dict[int, bytearray] = {n: bytearray(data) for n, data in enumerate(self.start.values(), 1)}
        names: dict[str, int] = {path: n for n, path in enumerate(self.start, 1)}
        for n, event in enumerate(past):
            if event.kind in ("write", "truncate") and (self._is_safe(event, past[n + 1 :]) or keeps(event)):
                apply(contents.setdefault(event.inode, bytearray()), event)
            elif event.kind in ("create", "rename", "remove") and (self._is_safe(event, past[n + 1 :]) or keeps(event)):
                if event.kind == "create":
                    names[event.path] = event.inode
                elif event.kind == "remove":
                    names.pop(event.path, None)
                else:
                    names.pop(event.path, None)
                    names[event.target] = event.inode
        if folder.exists():
            shutil.rmtree(folder)
        for path, inode in names.items():
            made = folder / Path(path).relative_to(self.root)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(contents.get(inode, b""))
            made.chmod(0o600)
        return folder

    @staticmethod
    def _is_safe(event: Event, later: Sequence[Event]) -> bool:
        if event.kind in ("write", "truncate"):
            return any(one.kind == "sync" and one.inode == event.inode for one in later)
        folder = str(Path(event.target or event.path).parent)
        by_folder = any(one.kind == "sync folder" and one.path == folder for one in later)
        return by_folder or (event.kind == "create" and any(o.kind == "sync" and o.inode == event.inode for o in later))


def apply(content: bytearray, event: Event) -> None:
    """Do one write or truncation."""
    if event.kind == "truncate":
        del content[event.at :]
        content.extend(bytes(event.at - len(content)))
        return
    content.extend(bytes(max(0, event.at - len(content))))
    content[event.at : event.at + len(event.data)] = event.data


def nothing_more(event: Event) -> bool:
    """Keep nothing that was not synced."""
    return False


def all_of_it(event: Event) -> bool:
    """Keep everything."""
    return True


def any_of_it(seed: int) -> Callable[[Event], bool]:
    """Keep any of the bytes, in any order; names in theirs."""
    dice = Random(seed)
    return lambda event: dice.random() < 0.5


def plain(path: str) -> str:
    """Return a path as strace wrote it, in words."""
    path = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), path)
    return path.removesuffix("(deleted)").rstrip()


def joined(lines: Sequence[str]) -> Iterator[str]:
    """Put together the calls that another thread's interrupted."""
    waiting: dict[str, str] = {}
    for line in lines:
        thread, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            waiting[thread] = line.removesuffix("<unfinished ...>").rstrip()
        elif (found := re.match(r"\s*<\.\.\. \w+ resumed>(.*)", rest, re.S)) is not None:
            yield waiting.pop(thread, "") + found[1]
        else:
            yield line
