"""The documentation: the reference has every public name. `nox -s docs` builds the site."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from pathlib import Path

import pytest

import hotloops

ROOT = Path(__file__).parents[1]
REFERENCE = sorted((ROOT / "docs" / "api").glob("*.rst"))


def public_modules() -> list[str]:
    """Return the modules without an underscore that say what their names are."""
    found = ["hotloops"]
    for info in pkgutil.walk_packages(hotloops.__path__, "hotloops."):
        if "._" in info.name or info.name.startswith("hotloops.torch."):
            continue
        found.append(info.name)
    return found


def listed_names() -> dict[str, list[str]]:
    """Return the names in the reference's tables by their modules."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in REFERENCE:
        module, in_table = "", False
        for line in path.read_text().splitlines():
            directive = re.match(
                r"\.\. (currentmodule|automodule|autosummary|py:data)::\s*(.*)", line
            )
            if directive is not None:
                kind, argument = directive.groups()
                in_table = kind == "autosummary"
                if kind == "currentmodule":
                    module = argument
                elif kind == "automodule":
                    names[argument] += []
                elif kind == "py:data":
                    names[module].append(argument)
            elif in_table and re.fullmatch(r"   \w+", line):
                names[module].append(line.strip())
            elif line and not line.startswith(" "):
                in_table = False
    return names


@pytest.mark.parametrize("name", public_modules())
def test_the_reference_lists_every_public_name(name: str) -> None:
    if name == "hotloops.torch":
        pytest.importorskip("torch")
    module = importlib.import_module(name)
    listed = listed_names()
    if not hasattr(module, "__all__"):
        assert name not in listed
        return
    assert name in listed
    public = [public for public in module.__all__ if not inspect.ismodule(getattr(module, public))]
    assert sorted(listed[name]) == sorted(public)


def test_the_measure_of_the_reference_sees_names() -> None:
    listed = listed_names()
    assert {"matmul", "__version__", "use_isa"} <= set(listed["hotloops"])
    assert "he_normal" in listed["hotloops.nn.initializers"]
    assert sum(map(len, listed.values())) > 70


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "bench/README.md"])
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    for link in links:
        assert link.startswith("http") or (path.parent / link).exists(), link
