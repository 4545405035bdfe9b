"""Everything that is installed is pinned, and known by its content."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==(\S+)(.*?)((?: --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def locked() -> dict[str, list[str]]:
    """Versions by name: one may differ between versions of Python."""
    text = (ROOT / "requirements.lock").read_text().replace(" \\\n   ", "")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = PINNED.match(line)
        assert match, f"not pinned by version and hash: {line[:80]}"
        found.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return found


def test_what_the_project_asks_for_is_in_the_lock_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for more in project["optional-dependencies"].values() for one in more)]
    there = locked()
    for wanted in map(Requirement, asked):
        versions = there.get(canonicalize_name(wanted.name), [])
        assert versions and all(wanted.specifier.contains(version) for version in versions), f"make lock: {wanted}"
