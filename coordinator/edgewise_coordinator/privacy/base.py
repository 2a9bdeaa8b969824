"""What the parts of a coordinator ask about privacy, and the answers of a run that promises none."""

from __future__ import annotations

from typing import Any, Protocol


class Privacy(Protocol):
    """A run's promise, as those see it who need not know how it is kept."""

    def number(self, round_id: int, count: int) -> int:
        """Return the number by which selection keeps a device's rounds apart; `count` counts training rounds."""

    def affords(self, asked: int) -> bool:
        """Return whether a further round that asks so many devices stays within the budget."""

    def figures(self, round_id: int) -> dict[str, Any]:
        """Return what a finished round's row says of privacy; empty if it released nothing."""

    def standing(self) -> dict[str, Any]:
        """Return the newest such figures."""

    def committed(self, round_id: int) -> None:
        """Note that the version which a round made is recorded."""

    def close(self) -> None:
        """Let go of files."""


class NoPrivacy:
    """Promises nothing: updates count as they are."""

    def number(self, round_id: int, count: int) -> int:
        """Return the count."""
        return count

    def affords(self, asked: int) -> bool:
        """Return True: there is no budget."""
        return True

    def figures(self, round_id: int) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def standing(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def committed(self, round_id: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
