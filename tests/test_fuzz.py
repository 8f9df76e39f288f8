"""A share of what `tools/fuzz.py` throws at the program; the tool itself throws all of it."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

SHARE = 9
"""Every so many of the tool's cases are read here."""


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    tools = str(Path(__file__).parents[1] / "tools")
    sys.path.insert(0, tools)
    try:
        import fuzz  # type: ignore[import-not-found]
    finally:
        sys.path.remove(tools)
    return fuzz  # type: ignore[no-any-return]


def test_whatever_the_file_it_is_read_or_refused(fuzz: ModuleType, tmp_path: Path) -> None:
    cases = fuzz.make_cases(tmp_path / "cases", 240, seed=1)[::SHARE]
    findings = [fuzz.read(case) for case in cases]
    assert len(findings) > 25 and [finding for finding in findings if not finding.well] == []
    assert {finding.said.split(":")[0] for finding in findings} == {"read", "refused"}


def test_the_same_seed_makes_the_same_cases(fuzz: ModuleType, tmp_path: Path) -> None:
    material = fuzz.make_cases.__globals__
    some = tmp_path / "some.mp4"
    some.write_bytes(bytes(range(256)) * 20)
    made = []
    for name in ("a", "b"):
        chance = material["random"].Random(5)
        made.append([path.read_bytes() for path in material["_damaged"](tmp_path / name, [some], 20, chance)])
    assert made[0] == made[1] and len(set(made[0])) > 10


def test_a_hang_and_a_traceback_are_found(fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case = fuzz.Case("x", tmp_path / "x", None)

    def hang(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "open_video", hang)
    finding = fuzz.read(case, limit_s=0.1)
    assert not finding.well and "TooLongError" in finding.said

    def broken(*_: object) -> None:
        raise KeyError("width")

    monkeypatch.setattr(fuzz, "open_video", broken)
    assert not fuzz.read(case).well
