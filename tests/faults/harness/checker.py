"""Proves promises 1 to 6 and 10 of a quiet world, from what clients were told and what the tables hold."""

from tests.faults.harness.checks import CHECKS
from tests.faults.harness.checks.base import Violation
from tests.faults.harness.database import Database
from tests.faults.harness.history import History

__all__ = ["Violation", "check"]


def check(history: History, database: Database) -> list[Violation]:
    """All violations; empty when every promise held."""
    return [violation for one in CHECKS for violation in one(history, database)]
