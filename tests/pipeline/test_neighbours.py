import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from dancedepth.pipeline.neighbours import CHUNK, nearest
from scipy.spatial import cKDTree


@pytest.mark.parametrize("points", [0, 5, CHUNK + 7, 3 * CHUNK])
@pytest.mark.parametrize("count", [1, 4])
def test_the_same_as_one_query(points: int, count: int) -> None:
    random = np.random.default_rng(0)
    tree, asked = cKDTree(random.random((500, 3))), random.random((points, 3))
    distances, indices = nearest(tree, asked, count)
    expected_distances, expected_indices = tree.query(asked, k=count)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(indices, expected_indices)


AT_WORK = """
import sys, time
import numpy as np
from dancedepth.pipeline.neighbours import nearest
from scipy.spatial import cKDTree

points = np.random.default_rng(0).random((200_000, 3))
print(flush=True)
try:
    while True:
        nearest(cKDTree(points), points, 8)
except KeyboardInterrupt:
    pass
garbage = np.full(20_000_000, np.nan)  # over what has been freed
time.sleep(1)
sys.exit(7)
"""


def test_an_interrupt_waits_for_the_threads() -> None:
    """With scipy's own `workers`, the tree is freed under threads that still search it: a crash."""
    with subprocess.Popen([sys.executable, "-c", AT_WORK], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 7
