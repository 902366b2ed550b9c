"""Every rule of the house catches what it is there for, and leaves good code alone."""

from pathlib import Path

import pytest

from tests.support.lints import CHECKS, findings_in, heads_of

_BROKEN = {
    "commits_at_the_edge": ("services/api/x.py", "session.commit()"),
    "problems_not_http_exceptions": ("services/api/x/service.py", "raise HTTPException(404)"),
    "kinds_in_their_own_files": ("services/api/x.py", "if pre_label.annotation.kind == 'mask': pass"),
    "short_functions": ("shared/x.py", "def f():\n" + "    a = 1\n" * 60),
    "short_files": ("shared/x.py", "a = 1\n" * 301),
    "no_broad_except": ("shared/x.py", "try:\n    f()\nexcept Exception:\n    pass"),
}


@pytest.mark.parametrize("name", [check.__name__ for check in CHECKS])
def test_rule_catches_its_defect(name: str) -> None:
    place, text = _BROKEN[name]
    assert [finding for finding in findings_in(Path(place), text) if finding.endswith(f"({name})")]


def test_good_code_is_left_alone() -> None:
    assert not list(findings_in(Path("shared/annotations/x.py"), "if annotation.kind == 'x': f()"))
    assert not list(findings_in(Path("services/x.py"), "try:\n    f()\nexcept Exception:  # foreign code\n    g()"))


def test_migrations_have_one_head() -> None:
    first = 'revision: str = "a"\ndown_revision: str | None = None\n'
    second = 'revision: str = "b"\ndown_revision: str | None = "a"\n'
    third = 'revision: str = "c"\ndown_revision: str | None = "a"\n'
    assert heads_of({"a.py": first, "b.py": second}) == []
    (finding,) = heads_of({"a.py": first, "b.py": second, "c.py": third})
    assert "b.py, c.py are heads" in finding
