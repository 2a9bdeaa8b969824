"""Mosquitto's configuration and access list for a fleet: TLS, a certificate for everyone, and a place for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewise_wire.messages import PAYLOAD_BYTES
from edgewise_wire.topics import ROOT

COORDINATOR = "_coordinator"  # its certificate's name; no device's begins with '_'
AGGREGATOR = "_aggregator-"  # its certificate's name is this and the aggregator's own
PID_FILE = "mosquitto.pid"
_PACKET_BYTES = PAYLOAD_BYTES + 1024  # a payload, its topic, its header


def access_list(fleet: str, aggregators: Sequence[str] = ()) -> str:
    """Return who may say and hear what; `%u` is the name in a client's certificate.

    An aggregator hears the updates that are sent to it, and no other's; only where there are some may devices send any.
    """
    device = f"{ROOT}/{fleet}/device"
    to_aggregators = f"pattern write {device}/%u/up/+\n" if aggregators else ""
    own = "".join(
        f"\nuser {AGGREGATOR}{name}\ntopic read {device}/+/up/{name}\ntopic write {device}/+/down\n"
        for name in aggregators
    )
    return f"""\
# A device speaks under its own name and hears what is said to it; blobs are for all to read. The rest is denied.
pattern write {device}/%u/state
pattern write {device}/%u/up
{to_aggregators}pattern read {device}/%u/down
pattern read {ROOT}/{fleet}/blob/#

user {COORDINATOR}
topic read {device}/+/state
topic read {device}/+/up
topic write {device}/+/down
topic readwrite {ROOT}/{fleet}/blob/#
{own}"""


def configuration(folder: Path, *, bind: str, port: int, user: str) -> str:
    """Return `mosquitto.conf`; `folder` holds the papers and the access list.

    Law: who connects is who the certificate says, also in the client id: one certificate, one session.
    """
    return f"""\
# Written by `edgewise fleet init`. Tested with Mosquitto 2.0; `edgewise broker --fleet-dir` runs it.
per_listener_settings false
user {user}
pid_file {folder}/{PID_FILE}
persistence false

listener {port}{f" {bind}" if bind else ""}
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
crlfile {folder}/crl.pem
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {folder}/acl

# Nothing of edgewise's is larger: {PAYLOAD_BYTES // 1024} KiB of payload.
max_packet_size {_PACKET_BYTES}
max_inflight_messages 64
max_keepalive 300

# What was refused is told at the level `debug`, which tells of every message too: `edgewise broker` keeps the refusals.
log_dest stderr
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type error
log_type warning
log_type notice
log_type debug
"""
