import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pytest
from dancedepth.cli.main import run
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.synthesis.clip import make_clip
from dancedepth.pipeline.synthesis.config import SynthConfig


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def assert_one_line(self, code: int, *words: str) -> None:
        """Failed as it should: this exit code, and one line that holds these words."""
        assert self.code == code, self
        assert self.out == ""
        assert self.err.startswith("dancedepth: ") and self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err and "bug" not in self.err, self.err
        for word in words:
            assert word in self.err


Command = Callable[..., Said]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `dancedepth ARGUMENTS` in this process, as its entry point does."""

    def call(*arguments: object) -> Said:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Said(code, *capfd.readouterr())

    return call


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, body: BodyModel) -> Path:
    """A rendered dancer: one second of 12 small frames."""
    config = SynthConfig(seconds=1.0, fps=12, width=240, height=426, supersampling=1)
    return make_clip(config, tmp_path_factory.mktemp("clip"), body, Silent()).video


def files_under(folder: Path) -> set[str]:
    """Names of all files, relative to the folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
