import subprocess
import sys
import time

import numpy as np
from dancedepth.pipeline.peak_memory import PeakMemory

CHILD = "block = bytearray(b'x') * (150 << 20); print(flush=True); input()"


def test_what_was_held_and_given_back_counts() -> None:
    with PeakMemory() as memory:
        before = memory.peak_mb
        block = np.ones(150 << 20, np.uint8)
        deadline = time.monotonic() + 30
        while memory.peak_mb < before + 100 and time.monotonic() < deadline:
            time.sleep(0.05)
        del block
    assert before + 100 < memory.peak_mb < before + 400


def test_children_count() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        with PeakMemory() as together:
            pass
        child.kill()
    with PeakMemory() as alone:
        pass
    assert together.peak_mb > alone.peak_mb + 100
