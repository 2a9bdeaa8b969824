"""The messages of protocol 1 as frozen dataclasses; `wire/schema/edgewise.fbs` is the same in FlatBuffers' words.

Order matters: the position of a field in its class is its slot in the table, and the position of a class in `BODIES`
is its number in the union. Append only; never reorder, never remove. A field that the sender did not write reads as its
default, and one that the reader does not know is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, TypeAlias

from edgewise_wire.fields import F32, F64, U8, U16, U32, U64, Bool, Hash, Many, Name, Octets, Sentence, Url

PAYLOAD_BYTES = 128 * 1024  # AWS IoT Core refuses an MQTT payload over 128 KiB
HEADER_BYTES = 1024  # room for the envelope around a chunk: fleet, ids, offsets, alignment
CHUNK_BYTES = PAYLOAD_BYTES - HEADER_BYTES
DELTAS_MAX = 16  # a longer chain of differences would not be shorter than what it replaces
COHORT_MAX = 1536  # devices of a secure round: the shares of so many neighbours (82 bytes each) fit one payload
CHUNKS_MAX = 1900  # 32-byte hashes of a graph's and of a round's weights must fit one payload: 235 MiB a blob


class DeviceState(IntEnum):
    """Where a device stands in its session (Bonawitz et al. 2019, §3); the numbers are on the wire."""

    IDLE = 0
    ELIGIBLE = 1
    CHECKED_IN = 2
    ASSIGNED = 3
    DOWNLOADING = 4
    TRAINING = 5
    UPLOADING = 6
    REPORTED = 7


class Kind(IntEnum):
    """What an assignment asks for."""

    TRAIN = 0
    EVALUATE = 1
    DISCOVER = 2


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Names a blob and everything needed to fetch and check it.

    `hash` is the SHA-256 of the whole, `chunk_hashes` the SHA-256 of each chunk, one after the other (32 bytes each);
    every chunk but the last has `chunk_bytes` bytes.
    """

    hash: Hash = b""
    size: U64 = 0
    chunk_bytes: U32 = CHUNK_BYTES
    chunk_hashes: Annotated[bytes, Octets(most=32 * CHUNKS_MAX)] = b""


@dataclass(frozen=True, slots=True)
class Range:
    """Chunks `first` to `last`, both included."""

    first: U32 = 0
    last: U32 = 0


Ranges: TypeAlias = Annotated[tuple[Range, ...], Many(most=CHUNKS_MAX)]


@dataclass(frozen=True, slots=True)
class Measure:
    """One sum over a device's examples, by its metric's name (`loss_sum`, `weight_sum`, `top1`, …)."""

    name: Name = ""
    value: F64 = 0.0


@dataclass(frozen=True, slots=True)
class Delta:
    """A step from weights that a device may have to newer ones: those with the hash `base`, plus what `blob` encodes.

    An absent `base` stands for zeros. `encoding` is one of `edgewise_wire.transforms`; its key is made of `base`.
    """

    base: Annotated[bytes, Octets(most=32)] = b""
    blob: BlobRef = BlobRef()
    encoding: Name = ""


Roll: TypeAlias = Annotated[bytes, Octets(most=COHORT_MAX // 8)]
"""Devices of a roster as bits: bit i % 8 of byte i // 8 stands for its entry i, absent bytes for nobody."""
Bulk: TypeAlias = Annotated[bytes, Octets(most=CHUNK_BYTES)]


@dataclass(frozen=True, slots=True)
class SecureTerms:
    """How a round's updates become words that are masked and summed (`edgewise_wire.secure.fixed_point`).

    `cohort` is the most devices in the sum, 0 for a round without secure aggregation; `least` the fewest. `value_bits`,
    `range`, `weight_max` and `noise` are those of `FixedPoint`; `clip` is the L2 norm that an update is clipped to
    before, 0 for none.
    """

    cohort: U32 = 0
    least: U32 = 0
    value_bits: U8 = 0
    range: F64 = 0.0
    weight_max: U32 = 0
    noise: F64 = 0.0
    clip: F64 = 0.0


@dataclass(frozen=True, slots=True)
class PrivacyTerms:
    """What a training round promises a device of its privacy, and what it asks for it; all absent where it has none.

    `mechanism` names the noise that the coordinator adds to the sum of the clipped updates (`gaussian`, `tree`,
    `banded-N`), with `noise_multiplier` times the clipping norm for its standard deviation; the norm stands in the
    assignment's encoding. In a secure round it is `skellam`: the devices add it, and norm and variance stand in the
    terms of that round. `number` counts the releases of the run called `run` up to the one that this round is for; a
    device takes part at most once in `separation` of them, and in at most `participations` in all (0: as many as fit).
    With `ask_within_norm` it says whether its update was clipped.
    """

    mechanism: Name = ""
    noise_multiplier: F64 = 0.0
    number: U64 = 0
    separation: U32 = 0
    ask_within_norm: Bool = False
    run: U64 = 0
    participations: U32 = 0


@dataclass(frozen=True, slots=True)
class DiscoveryTerms:
    """What a round that looks for words asks: at most `votes` prefixes of the device's words, of `length` characters.

    The assignment's `weights` name the prefixes found so far, one a line in UTF-8, sorted; a device votes only for what
    prolongs one of them. A word that has ended is voted for with a line feed in the place of its next character.
    """

    length: U32 = 0
    votes: U32 = 0


@dataclass(frozen=True, slots=True)
class Presence:
    """Retained on a device's `state` topic; its last will is the same with `online` false."""

    online: Bool = False
    session: U64 = 0


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A device is eligible and offers itself. `session` changes whenever its process starts anew.

    `round`/`attempt` of work it still holds (a report not yet acknowledged) stand in `resume_round`/`resume_attempt`;
    zero when there is none.
    """

    session: U64 = 0
    graph_hash: Annotated[bytes, Octets(most=32)] = b""
    train_examples: U32 = 0
    held_out_examples: U32 = 0
    runtime: Name = ""
    software: Name = ""
    resume_round: U64 = 0
    resume_attempt: U32 = 0


@dataclass(frozen=True, slots=True)
class Accept:
    """The device takes the assignment."""

    attempt: U32 = 0


@dataclass(frozen=True, slots=True)
class Decline:
    """The device does not take the assignment, or gives it up; `reason` says why."""

    attempt: U32 = 0
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the device is: `done` of `total` chunks or steps in `state`."""

    attempt: U32 = 0
    state: U8 = 0
    done: U32 = 0
    total: U32 = 0
    loss: F32 = 0.0


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """The device has an update and asks for a slot to send it.

    `update` names the encoded update; `examples` is its weight in the average; `loss` is the weighted mean training
    loss over the last epoch, `steps` the optimizer steps taken, `seconds` how long training took. Of a masked update
    only `update` is told: it counts as one example. `within_norm` says, where it was asked, that it was not clipped.
    """

    attempt: U32 = 0
    update: BlobRef = BlobRef()
    examples: U64 = 0
    loss: F32 = 0.0
    steps: U32 = 0
    seconds: F32 = 0.0
    encoding: Name = ""
    within_norm: Bool = False


@dataclass(frozen=True, slots=True)
class UploadChunk:
    """Chunk `index` of the update of (round, device, attempt)."""

    attempt: U32 = 0
    index: U32 = 0
    data: Annotated[bytes, Octets(most=CHUNK_BYTES)] = b""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Sums over a device's held-out examples; never the examples."""

    attempt: U32 = 0
    examples: U64 = 0
    measures: Annotated[tuple[Measure, ...], Many(most=64)] = ()


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """The broker did not have these chunks; the coordinator publishes them again."""

    hash: Hash = b""
    missing: Ranges = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the coordinator asks of a device in a round.

    `deadline` is in seconds from receipt, so that no two clocks need agree. `mu` is FedProx's proximal weight (Li et
    al. 2020), 0 for none. `max_examples` 0 means all. `seed` and the device's name drive the order of examples.
    `correction` names what is added to each gradient besides: `scaffold` (Karimireddy et al. 2020) takes the server's
    control variate from the blob `control`, float32 like the weights, and the device's own as it was after its report
    in round `control_round`, 0 for none yet. Its update is Δw followed by Δc. `control_round` also says up to which of
    its reports what it left unsaid (error feedback) is settled. `deltas` lead to `weights`, one after the other: a
    device that has the base of one may fetch that and those behind it in the place of `weights`. `blobs_url` is where
    the blobs are to be had over HTTP(S) too, each at `blobs_url/{hash in hexadecimal}`; empty for nowhere. `secure`
    asks for a masked update, whose `encoding` is then `masked`. `aggregator` is who takes the update: `UploadRequest`
    and `UploadChunk` go to `topics.device_up_to` with that name; empty for the coordinator, which takes the update of
    a device that does not know this field, too.
    """

    attempt: U32 = 0
    kind: U8 = int(Kind.TRAIN)  # a number that a peer sent is one, too
    graph: BlobRef = BlobRef()
    weights: BlobRef = BlobRef()
    version: U64 = 0
    epochs: U32 = 1
    learning_rate: F32 = 0.0
    max_examples: U32 = 0
    seed: U64 = 0
    deadline: F32 = 0.0
    mu: F32 = 0.0
    encoding: Name = ""
    signature: Annotated[bytes, Octets(most=64)] = b""
    correction: Name = ""
    control: BlobRef = BlobRef()
    control_round: U64 = 0
    deltas: Annotated[tuple[Delta, ...], Many(most=DELTAS_MAX)] = ()
    blobs_url: Url = ""
    secure: SecureTerms = SecureTerms()
    aggregator: Name = ""
    privacy: PrivacyTerms = PrivacyTerms()
    discovery: DiscoveryTerms = DiscoveryTerms()


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """A slot is open: send what is not in `have`, keeping at most `window` chunks unacknowledged."""

    attempt: U32 = 0
    window: U16 = 0
    have: Ranges = ()


@dataclass(frozen=True, slots=True)
class ChunkAck:
    """The chunks that the coordinator holds so far."""

    attempt: U32 = 0
    have: Ranges = ()


@dataclass(frozen=True, slots=True)
class ReportAck:
    """The report is safe (`accepted`), or refused for `reason`; `come_back` is seconds until the next check-in."""

    attempt: U32 = 0
    accepted: Bool = False
    reason: Sentence = ""
    come_back: F32 = 0.0


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop working on this attempt; `come_back` is seconds until the next check-in."""

    attempt: U32 = 0
    reason: Sentence = ""
    come_back: F32 = 0.0


@dataclass(frozen=True, slots=True)
class ComeBackLater:
    """Not now: check in again in `seconds` (0 = at once, which a restarted coordinator says to everyone online)."""

    seconds: F32 = 0.0
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class BlobChunk:
    """Chunk `index` of the blob `hash`, retained on its blob topic."""

    hash: Hash = b""
    index: U32 = 0
    data: Annotated[bytes, Octets(most=CHUNK_BYTES)] = b""


@dataclass(frozen=True, slots=True)
class SecureKeys:
    """A device has a finished update, and the keys of its part in a secure round, each 32 bytes.

    `agreement` (X25519) is for what devices say to one another, `mask` (X25519) for the masks, `signer` (Ed25519) signs
    what the device says. `certificate` (DER) and `signature` (ECDSA) prove them to other devices; both are empty in a
    fleet without certificates.
    """

    attempt: U32 = 0
    agreement: Hash = b""
    mask: Hash = b""
    signer: Hash = b""
    certificate: Annotated[bytes, Octets(most=1024)] = b""
    signature: Annotated[bytes, Octets(most=72)] = b""


@dataclass(frozen=True, slots=True)
class SecureShares:
    """A device's secrets in shares, sealed for one neighbour each, 82 bytes, in the roster's order."""

    attempt: U32 = 0
    data: Bulk = b""


@dataclass(frozen=True, slots=True)
class SecurePledge:
    """A device has its inbox, and signs with whom it masks its update; it signs no other list of this round."""

    attempt: U32 = 0
    signature: Annotated[bytes, Octets(most=64)] = b""


@dataclass(frozen=True, slots=True)
class SecureConsent:
    """A device has seen who shared and who survived, and signs both lists; it signs no other of this round.

    Without a signature it asks who survived, since its update has arrived and it has heard nothing more.
    """

    attempt: U32 = 0
    signature: Annotated[bytes, Octets(most=64)] = b""


@dataclass(frozen=True, slots=True)
class SecureReveal:
    """One share, 33 bytes, of each device in `of`: of its own mask if it survived, else of the key of its masks."""

    attempt: U32 = 0
    of: Roll = b""
    data: Bulk = b""


@dataclass(frozen=True, slots=True)
class SecureRoster:
    """Who takes part in a secure round: a blob, whose hash is what all must agree on."""

    attempt: U32 = 0
    roster: BlobRef = BlobRef()


@dataclass(frozen=True, slots=True)
class SecureInbox:
    """Who has shared its secrets, and what those of them who are this device's neighbours have sealed for it."""

    attempt: U32 = 0
    sharers: Roll = b""
    data: Bulk = b""


@dataclass(frozen=True, slots=True)
class SecureSurvivors:
    """Whose masked updates have arrived, and the pledge of each of them that is this device's neighbour."""

    attempt: U32 = 0
    survivors: Roll = b""
    data: Bulk = b""


@dataclass(frozen=True, slots=True)
class SecureQuorum:
    """The consents of a quorum, 64 bytes each in the roster's order; `signers` says whose they are."""

    attempt: U32 = 0
    signers: Roll = b""
    data: Bulk = b""


Body: TypeAlias = (
    "Presence | CheckIn | Accept | Decline | Progress | UploadRequest | UploadChunk | EvaluationReport | BlobRequest"
    " | Assignment | UploadGrant | ChunkAck | ReportAck | Abort | ComeBackLater | BlobChunk"
    " | SecureKeys | SecureShares | SecurePledge | SecureConsent | SecureReveal"
    " | SecureRoster | SecureInbox | SecureSurvivors | SecureQuorum"
)

BODIES: tuple[type, ...] = (
    Presence,
    CheckIn,
    Accept,
    Decline,
    Progress,
    UploadRequest,
    UploadChunk,
    EvaluationReport,
    BlobRequest,
    Assignment,
    UploadGrant,
    ChunkAck,
    ReportAck,
    Abort,
    ComeBackLater,
    BlobChunk,
    SecureKeys,
    SecureShares,
    SecurePledge,
    SecureConsent,
    SecureReveal,
    SecureRoster,
    SecureInbox,
    SecureSurvivors,
    SecureQuorum,
)
"""Every body in the order of the union; the first has number 1 (0 is FlatBuffers' NONE)."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every message carries around its body. `round` is 0 outside of rounds."""

    fleet: Name
    round: U64
    message_id: U64
    body: Body
    protocol: U16 = 1
