"""Why a broker could not be reached or let us down, in sentences that say what to do."""

from __future__ import annotations

import socket
import ssl

from edgewise_wire.transport.address import BrokerAddress

NOT_LET_IN = "it does not take our certificate: revoked, expired, or another fleet's; ask for a new bundle"


def not_connected(address: BrokerAddress, error: Exception, seconds: float, shown: bool = False) -> str:
    """Return the sentence for what connecting a socket, or its TLS handshake, raised; `shown`: our certificate was."""
    if isinstance(error, ConnectionRefusedError):
        return f"{address}: nobody listens there; start a broker (`edgewise broker`) or correct the address"
    if isinstance(error, socket.gaierror):
        return f"{address}: the host name is unknown ({error.strerror}); correct the address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{address}: its certificate is not trusted ({error.verify_message}); "
            "name the authority's file (ca) and use the host name that the certificate is for"
        )
    if isinstance(error, TimeoutError):
        return f"{address}: no answer within {seconds:g} s; check the address and the network"
    if address.tls and isinstance(error, ssl.SSLError | ConnectionResetError | BrokenPipeError):
        if shown and "alert" in str(error).lower():  # the peer's: it looked at what we showed
            return f"{address}: {NOT_LET_IN} ({error})"
        return f"{address}: the TLS handshake failed ({error}); check that this port speaks TLS and accepts us"
    return f"{address}: cannot connect ({error}); check the address and the network"


def refused(address: BrokerAddress, client_id: str, code: str) -> str:
    """Return the sentence for a CONNACK that says no (MQTT 3.1.1 §3.2.2.3)."""
    lowered = code.lower()
    if "user name" in lowered or "authori" in lowered:
        advice = "; give the user name and password that it knows"
    elif "identifier" in lowered:
        advice = "; choose another client id"
    elif "version" in lowered:
        advice = "; choose another MQTT version (?protocol=3.1.1 or 5)"
    else:
        advice = "; try again later"
    return f"{address}: the broker refused {client_id!r}: {code}{advice}"


def closed_unanswered(address: BrokerAddress, shown: bool = False) -> str:
    """Return the sentence for a connection that was closed before its CONNACK; `shown`: our certificate was."""
    if address.tls and shown:  # with TLS 1.3 a certificate is refused after the handshake (RFC 8446, §4.4.2.4)
        return f"{address}: it closed the connection before answering; {NOT_LET_IN}"
    hint = (
        "perhaps it wants a certificate of ours (cert and key)" if address.tls else "if it speaks TLS, write mqtts://"
    )
    return f"{address}: it closed the connection before answering; {hint}"


def no_answer(address: BrokerAddress, seconds: float) -> str:
    """Return the sentence for a listener that never sends a CONNACK."""
    return f"{address}: it accepts connections but gave no MQTT answer within {seconds:g} s; check the port"
