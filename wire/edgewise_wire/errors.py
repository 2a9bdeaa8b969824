"""Every error edgewise raises, grouped by what the caller can do next.

An error says what it is about, the value it met and what was expected. Errors of other libraries are translated where
they enter, so that callers need to know this tree alone.
"""


class EdgewiseError(Exception):
    """The root: catch it to catch everything that edgewise raises on purpose.

    `exit_status` is what a command that ends with this error returns to its shell.
    """

    exit_status = 1


class InputError(EdgewiseError):
    """What the caller handed over cannot be used: mend it and call again."""

    exit_status = 2


class ModelError(InputError):
    """A model file, its manifest or its signatures are not what edgewise needs."""


class DataError(InputError):
    """A text, data or vocabulary file cannot be read as what it should be."""


class ConfigError(InputError):
    """A setting is out of its range or contradicts another."""


class UnavailableError(EdgewiseError):
    """Something outside is not there (a broker, a port, a runtime, disk space): provide it, or try again later."""

    exit_status = 2


class TransportError(UnavailableError):
    """The broker cannot be reached, refused us, or the link is down."""


class ProtocolError(EdgewiseError):
    """A peer sent bytes that are not a valid message: drop the message and count it."""


class RefusedError(EdgewiseError):
    """The other side understood and said no: do what its reason says."""


class RunError(EdgewiseError):
    """A run could not reach its goal though its input was fine (all rounds abandoned, a process died)."""
