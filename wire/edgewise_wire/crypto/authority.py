"""A fleet's certificate authority: X.509 with P-256 keys, which every broker's TLS library reads.

The name in a certificate (CN) is who its holder is: the broker takes it for the user name. Certificates begin a day in
the past, for devices whose clock lags, and end by themselves; a revocation list ends them sooner.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgewise_wire.errors import ConfigError

SKEW = timedelta(days=1)  # a Pi without a clock of its own is hours behind until it has heard from a time server
AUTHORITY_DAYS = 3650
LIST_DAYS = 3650  # OpenSSL refuses everyone once a revocation list is past its date; ours are replaced when they change


@dataclass(frozen=True, slots=True)
class Papers:
    """A certificate and its private key, both in PEM."""

    cert: bytes
    key: bytes
    serial: int
    expires: float


def now_from(seconds: float) -> datetime:
    """Return a moment as X.509 writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), timezone.utc)


class Authority:
    """Signs the certificates of one fleet.

    Args:
        cert: its own certificate in PEM.
        key: its private key in PEM, unlocked.

    Raises:
        ConfigError: if they cannot be read.

    Example:
        >>> authority = Authority.create("home", now=1.8e9)
        >>> authority.issue_client("pi-7", days=365, now=1.8e9).cert[:27]
        b'-----BEGIN CERTIFICATE-----'
    """

    def __init__(self, cert: bytes, key: bytes) -> None:
        self.cert = cert
        self.key = key
        try:
            self._cert = x509.load_pem_x509_certificate(cert)
            loaded = load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"the fleet's authority: expected a certificate and an unlocked key ({error})") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"the fleet's authority: expected an elliptic-curve key, got {type(loaded).__name__}")
        self._key = loaded

    @classmethod
    def create(cls, fleet: str, *, now: float) -> Authority:
        """Make a new authority for a fleet."""
        key = _new_key()
        name = _name(f"edgewise fleet {fleet}")
        builder = (
            _builder(name, key, now, AUTHORITY_DAYS)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), _pem(key))

    def issue_client(self, name: str, *, days: float, now: float) -> Papers:
        """Return papers for a device or the coordinator."""
        return self._issue(name, days, now, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(self, name: str, hosts: Sequence[str], *, days: float, now: float) -> Papers:
        """Return papers for a broker that is reached under these host names and addresses."""
        return self._issue(name, days, now, ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    def revocation_list(self, revoked: Iterable[tuple[int, float]], *, number: int, now: float) -> bytes:
        """Return the list of the certificates (serial, when) that are no longer good, in PEM.

        `number` grows from one list to the next, and so does the date in it: OpenSSL takes the newer of two.
        """
        issued = now_from(now) - SKEW + timedelta(seconds=number)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._cert.subject)
            .last_update(issued)
            .next_update(issued + timedelta(days=LIST_DAYS))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        for serial, when in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now_from(when)).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _issue(
        self, name: str, days: float, now: float, purpose: x509.ObjectIdentifier, hosts: Sequence[str]
    ) -> Papers:
        key, serial = _new_key(), x509.random_serial_number()
        builder = (
            _builder(_name(name), key, now, days, serial)
            .issuer_name(self._cert.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(self._key_identifier(), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(h) for h in dict.fromkeys(hosts)]), False
            )
        cert = builder.sign(self._key, hashes.SHA256())
        expires = cert.not_valid_after_utc.timestamp()
        return Papers(cert.public_bytes(Encoding.PEM), _pem(key), serial, expires)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: float, days: float, serial: int | None = None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(serial if serial is not None else x509.random_serial_number())
        .not_valid_before(now_from(now) - SKEW)
        .not_valid_after(now_from(now) + timedelta(seconds=int(days * 86400)))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip
