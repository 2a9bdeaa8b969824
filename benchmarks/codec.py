"""How fast messages become bytes and back: `python benchmarks/codec.py [--json]`.

A chunk is compared with what any codec must do at least, copying its data once.
"""

from __future__ import annotations

import argparse
import json
import random
import timeit
from collections.abc import Callable

from edgewise_wire.codec import decode, encode
from edgewise_wire.messages import (
    CHUNK_BYTES,
    CHUNKS_MAX,
    Accept,
    Assignment,
    BlobRef,
    CheckIn,
    ChunkAck,
    Envelope,
    Range,
    UploadChunk,
)

HASHES = bytes(32 * 44)  # an update of the 1.42 M model has 44 chunks
WEIGHTS = BlobRef(bytes(range(32)), 5_689_000, CHUNK_BYTES, HASHES)
DATA = random.Random(1).randbytes(CHUNK_BYTES)
BODIES = {
    "Accept": Accept(1),
    "CheckIn": CheckIn(5, bytes(range(32)), 412, 103, "ai-edge-litert 2.3", "edgewise 0.1", 41, 2),
    "Assignment": Assignment(1, 0, WEIGHTS, WEIGHTS, 7, 1, 0.5, 500, 3, 60.0, 0.0, "float32", bytes(64)),
    "ChunkAck, 950 ranges": ChunkAck(1, tuple(Range(i, i) for i in range(0, CHUNKS_MAX, 2))),
    "UploadChunk": UploadChunk(1, 3, DATA),
}


def seconds(action: Callable[[], object]) -> float:
    """Return the least time of one call over five runs of about 50 ms each."""
    timer = timeit.Timer(action)
    calls = max(1, int(0.05 / max(timer.timeit(3) / 3, 1e-7)))
    return min(timer.repeat(5, calls)) / calls


def figures() -> list[dict[str, float | int | str]]:
    """Return one row for each message, and one for a copy of a chunk's data."""
    rows: list[dict[str, float | int | str]] = []
    for name, body in BODIES.items():
        message = Envelope("home", 41, 7, body)
        payload = encode(message)
        times = {"encode_s": seconds(lambda m=message: encode(m)), "decode_s": seconds(lambda p=payload: decode(p))}
        rows.append({"message": name, "bytes": len(payload), **times})
    copy = seconds(lambda: bytearray(DATA))
    return [*rows, {"message": "(one copy of the data)", "bytes": CHUNK_BYTES, "encode_s": copy, "decode_s": copy}]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    rows = figures()
    if parser.parse_args().json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'message':24}{'bytes':>8}{'encode':>12}{'decode':>12}{'encode':>14}{'decode':>14}")
    for row in rows:
        times = float(row["encode_s"]), float(row["decode_s"])
        rates = [f"{int(row['bytes']) / time / 1e6:,.0f} MB/s" for time in times]
        print(f"{row['message']:24}{row['bytes']:>8}" + "".join(f"{1e6 * time:>9.1f} us" for time in times), end="")
        print(f"{rates[0]:>14}{rates[1]:>14}")


if __name__ == "__main__":
    main()
