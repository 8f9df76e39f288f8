import subprocess
import sys

from dancedepth.pipeline.peak_memory import PeakMemory

CHILD = "block = bytearray(b'x') * (150 << 20); print(flush=True); input()"


HELD = """
import time
import numpy as np
from dancedepth.pipeline.peak_memory import PeakMemory
with PeakMemory() as memory:
    before = memory.peak_mb
    block = np.ones(150 << 20, np.uint8)
    deadline = time.monotonic() + 30
    while memory.peak_mb < before + 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    del block
print(memory.peak_mb - before)
"""


def test_what_was_held_and_given_back_counts() -> None:
    """In a process of its own: in this one, other tests' memory is given back meanwhile."""
    done = subprocess.run([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True, check=True)
    assert 100 < float(done.stdout) < 400


def test_children_count() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        with PeakMemory() as together:
            pass
        child.kill()
    with PeakMemory() as alone:
        pass
    assert together.peak_mb > alone.peak_mb + 100
