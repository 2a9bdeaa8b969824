"""The MQTT topics of protocol 1, in one place.

Five levels below the root at the most, so that brokers which allow seven (AWS IoT Core) carry them:

    ew/1/{fleet}/device/{device}/state   retained presence, last will = offline
    ew/1/{fleet}/device/{device}/up      what the device says
    ew/1/{fleet}/device/{device}/up/{aggregator}   an update on its way to an aggregator
    ew/1/{fleet}/device/{device}/down    what the coordinator says to it
    ew/1/{fleet}/blob/{hash}/{n}         chunk n of a graph or of a round's weights, retained
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edgewise_wire.errors import ConfigError

PROTOCOL = 1
ROOT = f"ew/{PROTOCOL}"
NAME_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class DeviceTopic(NamedTuple):
    """What a device topic says: whose it is and which channel (`state`, `up`, `up/{aggregator}` or `down`)."""

    device: str
    channel: str


def check_name(kind: str, name: str) -> str:
    """Return `name` if it may stand as one topic level, else raise `ConfigError`.

    Raises:
        ConfigError: if `name` is not 1 to 64 letters, digits, dots, dashes, underscores, the first a letter or digit.

    Example:
        >>> check_name("device", "pi-7")
        'pi-7'
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{kind} name {name[:80]!r}: expected 1 to {NAME_MAX} letters, digits, '.', '-' or '_', "
            "beginning with a letter or digit"
        )
    return name


def device_state(fleet: str, device: str) -> str:
    """Return the retained presence topic of a device."""
    return f"{ROOT}/{fleet}/device/{device}/state"


def device_up(fleet: str, device: str) -> str:
    """Return the topic on which a device speaks."""
    return f"{ROOT}/{fleet}/device/{device}/up"


def device_up_to(fleet: str, device: str, aggregator: str) -> str:
    """Return the topic on which a device sends its update to an aggregator; it is under the device's own."""
    return f"{device_up(fleet, device)}/{aggregator}"


def device_down(fleet: str, device: str) -> str:
    """Return the topic on which the coordinator speaks to a device."""
    return f"{ROOT}/{fleet}/device/{device}/down"


def blob_chunk(fleet: str, blob_hash: bytes, index: int) -> str:
    """Return the retained topic of one chunk of a blob; the hash stands in hexadecimal."""
    return f"{ROOT}/{fleet}/blob/{blob_hash.hex()}/{index}"


def all_devices(fleet: str, channel: str) -> str:
    """Return the filter that the coordinator subscribes to for one channel of every device."""
    return f"{ROOT}/{fleet}/device/+/{channel}"


def parse_device_topic(fleet: str, topic: str) -> DeviceTopic | None:
    """Return whose device topic this is, or `None` if it is none of this fleet's.

    Example:
        >>> parse_device_topic("home", "ew/1/home/device/pi-7/up")
        DeviceTopic(device='pi-7', channel='up')
    """
    prefix = f"{ROOT}/{fleet}/device/"
    if not topic.startswith(prefix):
        return None
    device, _, channel = topic[len(prefix) :].partition("/")
    kind, _, aggregator = channel.partition("/")
    known = kind == "up" and _NAME.fullmatch(aggregator) if "/" in channel else channel in ("state", "up", "down")
    if not known or not _NAME.fullmatch(device):
        return None
    return DeviceTopic(device, channel)
