"""Deliberate defects, to show that the checker sees them. To add one: write its file, name it in `DEFECTS`."""

from collections.abc import Mapping

from tests.faults.defects.base import Defect

DEFECTS: Mapping[str, Defect] = {}
