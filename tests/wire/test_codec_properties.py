"""Laws of the codec, over messages and bytes that nobody thought of."""

import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import PAYLOAD_BYTES, Envelope, EvaluationReport, Measure
from tests.support.wire_examples import good
from tests.support.wire_strategies import damaged, envelopes

GOLDEN = Path(__file__).parent.parent / "golden"
FIXED = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PAYLOADS = [encode(message) for message in good().values()]


def outcome(payload):
    """Return the message or `None` for one refused; whatever else happens is the failure we look for."""
    try:
        message = decode(payload)
    except ProtocolError:
        return None
    assert isinstance(message, Envelope)
    return message


@settings(FIXED, max_examples=400)
@given(envelopes())
def test_what_is_encoded_is_decoded(message):
    payload = encode(message)
    assert len(payload) <= PAYLOAD_BYTES
    assert decode(payload) == message
    assert encode(decode(payload)) == payload


@settings(FIXED, max_examples=300)
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"\x0c\0\0\0EWM1" + tail))
def test_any_bytes_give_a_message_or_a_protocol_error(payload):
    outcome(payload)


@settings(FIXED, max_examples=1500)
@given(damaged(st.sampled_from(PAYLOADS)))
def test_a_damaged_message_gives_a_message_or_a_protocol_error(payload):
    message = outcome(payload)
    if message is not None:
        # What was read is a message that we could send, and reads the same again.
        again = decode(encode(message))
        assert repr(again) == repr(message).replace("-0.0", "0.0") or repr(again) == repr(message)


@settings(FIXED, max_examples=100)
@given(envelopes(nan=True))
def test_not_a_number_changes_nothing_else(message):
    payload = encode(message)
    assert encode(decode(payload)) == payload


def test_memory_stays_in_proportion_to_the_message():
    worst = [path.read_bytes() for path in sorted((GOLDEN / "corrupt").glob("*.bin"))]
    worst.append(encode(Envelope("home", 1, 1, EvaluationReport(measures=(Measure("x" * 64, math.pi),) * 64))))
    for payload in worst:
        tracemalloc.start()
        outcome(payload)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 20_000 + 4 * len(payload)


@settings(FIXED, max_examples=200)
@given(st.sampled_from(list(good().values())), st.data())
def test_a_wrong_value_in_any_field_is_an_input_error(message, data):
    body = type(message.body)()
    field = data.draw(st.sampled_from(sorted(body.__dataclass_fields__)))
    object.__setattr__(body, field, data.draw(st.sampled_from([None, object(), [1], {}])))
    with pytest.raises(InputError, match=f"{type(body).__name__}.{field}"):
        encode(Envelope("home", 1, 1, body))
