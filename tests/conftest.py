import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does; must precede torch

import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.body_file import load_body
from dancedepth.models.weights import cache_folder
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Signals work as on a terminal, however the tests were started: `nohup` and a shell's `&` have some ignored."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests need a GPU."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body(cache_folder())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and assets, where a machine has one."""
    folder = Path(os.environ.get("DANCEDEPTH_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of real clips: set DANCEDEPTH_SHARED")
    return folder


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
