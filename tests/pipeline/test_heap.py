import subprocess
import sys

import pytest

FRAGMENTED = """
import psutil
from dancedepth.pipeline.heap import give_heap_back
blocks = [bytearray(100_000) for _ in range(3000)]
held = psutil.Process().memory_info().rss
del blocks[: len(blocks) - 1]
give_heap_back()
print((held - psutil.Process().memory_info().rss) / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries are not asked")
def test_blocks_freed_below_one_that_lives_go_back_to_the_system() -> None:
    """The last of them holds the heap's end, so that without asking nothing of it goes back."""
    done = subprocess.run([sys.executable, "-c", FRAGMENTED], stdout=subprocess.PIPE, text=True, check=True)
    assert float(done.stdout) > 200
