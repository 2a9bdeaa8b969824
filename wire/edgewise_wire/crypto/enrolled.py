"""Who a device is to other devices: the certificate that it was enrolled with, and what its key signs (ECDSA, P-256).

Whoever holds the enrolment authority can make devices up. Kept apart from the coordinator, this is what stops a
coordinator that lies; together with it, the coordinator is trusted to be honest but curious.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgewise_wire.crypto.authority import now_from
from edgewise_wire.errors import ConfigError

CERTIFICATE_BYTES_MAX = 1024  # ours have 450 to 600
SIGNATURE_BYTES_MAX = 72  # of ECDSA over P-256 in DER


class Enrolled:
    """A device's own papers.

    Args:
        cert: its certificate in PEM.
        key: its private key in PEM, unlocked.

    Raises:
        ConfigError: if they cannot be read.

    Example:
        >>> from edgewise_wire.crypto.authority import Authority
        >>> authority = Authority.create("home", now=1.8e9)
        >>> papers = authority.issue_client("pi-7", days=365, now=1.8e9)
        >>> device = Enrolled(papers.cert, papers.key)
        >>> Register(authority.cert).vouches_for("pi-7", device.certificate, b"hello", device.sign(b"hello"), 1.8e9)
        True
    """

    def __init__(self, cert: bytes, key: bytes) -> None:
        try:
            self.certificate = x509.load_pem_x509_certificate(cert).public_bytes(Encoding.DER)
            loaded = load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"the device's papers: expected a certificate and an unlocked key ({error})") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"the device's key: expected an elliptic-curve key, got {type(loaded).__name__}")
        self._key = loaded

    def sign(self, data: bytes) -> bytes:
        """Return a signature in DER."""
        return self._key.sign(data, ec.ECDSA(SHA256()))


class Register:
    """Knows whom a fleet's authority has enrolled.

    Args:
        authority: its certificate in PEM.

    Raises:
        ConfigError: if it cannot be read.
    """

    def __init__(self, authority: bytes) -> None:
        try:
            self._authority = x509.load_pem_x509_certificate(authority)
        except ValueError as error:
            raise ConfigError(f"the fleet's authority: expected a certificate in PEM ({error})") from error

    def vouches_for(self, device: str, certificate: bytes, data: bytes, signature: bytes, now: float) -> bool:
        """Return whether the device of this name, enrolled and in force at `now`, signed these bytes.

        Args:
            device: its name.
            certificate: in DER, as it came.
            data: what was signed.
            signature: in DER.
            now: seconds since the epoch.
        """
        if len(certificate) > CERTIFICATE_BYTES_MAX or device.startswith("_"):  # "_coordinator" is no device
            return False
        try:
            cert = x509.load_der_x509_certificate(certificate)
            cert.verify_directly_issued_by(self._authority)
            names = [name.value for name in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            client = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            key = cert.public_key()
            if names != [device] or ExtendedKeyUsageOID.CLIENT_AUTH not in client:
                return False
            if not cert.not_valid_before_utc <= now_from(now) <= cert.not_valid_after_utc:
                return False
            if not isinstance(key, ec.EllipticCurvePublicKey):
                return False
            key.verify(signature, data, ec.ECDSA(SHA256()))
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        return True


class Papers(NamedTuple):
    """What a device was enrolled with, and what knows the others that were."""

    enrolled: Enrolled
    register: Register
