"""A device waits for months: what it has loaded then is what it costs its owner."""

from __future__ import annotations

import subprocess
import sys

WAITING = """
import sys
import edgewise.commands.device.run
from edgewise_edge import admission, agent, apart, conditions, host, intake, own, policy
from edgewise_wire.messages import Assignment, BlobRef, Delta, Kind
from edgewise_wire.transport.mqtt import MqttTransport
ref = BlobRef(bytes(32), 400, 400, bytes(32))
asked = Assignment(attempt=1, kind=Kind.TRAIN, graph=ref, weights=ref, epochs=1, learning_rate=0.5, deadline=60.0,
                   encoding="clip-1+eden-2", correction="scaffold", control=ref, deltas=(Delta(b"", ref, "float16"),))
assert policy.Policy().refusal(asked, held=10, traffic=800) is None
assert admission.update_bytes(asked) == 12 + 4 + 2 * 32
from edgewise_wire.codec import decode, encode
from edgewise_wire.messages import Envelope
assert decode(encode(Envelope("home", 1, 2, asked))).body == asked
host.installed_runtime()
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & {"numpy", "cryptography", "ai_edge_litert", "tflite_runtime", "tensorflow"}))
"""


def test_an_agent_that_waits_and_weighs_an_assignment_has_loaded_neither_numpy_nor_the_runtime():
    done = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", ""), done.stderr


def test_flatbuffers_finds_numpy_when_it_is_used():
    code = """
import sys
from edgewise_wire.codec import encode
assert "numpy" not in sys.modules
from flatbuffers import number_types
assert str(number_types.to_numpy_type(number_types.Float32Flags)) == "float32"
assert "numpy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
