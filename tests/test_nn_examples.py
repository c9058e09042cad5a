"""The examples do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    """Import an example, which is no package's."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_digits_are_recognized(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--optimizer", optimizer, "--verbose", "0", "--no-torch"]
    assert load("digits").main(options) >= 0.97
    assert "of the test images are recognized" in capsys.readouterr().out


def test_digits_are_compared_over_the_same_steps(capsys: pytest.CaptureFixture[str]) -> None:
    digits = load("digits")
    digits.compare(digits.load("float64"), "adam", "float64", epochs=2)
    assert "times as long" in capsys.readouterr().out


def test_gates(capsys: pytest.CaptureFixture[str]) -> None:
    load("gates").main(["--epochs", "20000"])
    out = capsys.readouterr().out
    assert "classic derivative: [1, 0, 0] -> 0.99995873; [5.39428067 0.19482422 0.34317086]" in out
    assert "AND: [0.07 0.06 0.06 0.82], accuracy 1.0" in out
    assert "XOR: [0. 1. 1. 0.]" in out
