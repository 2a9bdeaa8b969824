"""A link to a real broker: `MqttTransport`. paho is imported by its module `link` alone."""

from edgewise_wire.transport.mqtt.transport import MqttTransport

__all__ = ["MqttTransport"]
