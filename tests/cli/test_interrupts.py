import signal
import subprocess
import sys

import pytest
from dancedepth.cli.interrupts import held, interruptible


def test_what_is_held_is_done_before_the_interruption_counts() -> None:
    done = []
    with interruptible() as interruption:
        with pytest.raises(KeyboardInterrupt), held():
            signal.raise_signal(signal.SIGTERM)
            done.append("the rest")
        assert signal.getsignal(signal.SIGTERM) == interruption.handle
    assert done == ["the rest"] and interruption.exit_code == 128 + signal.SIGTERM


def test_a_second_signal_is_not_held() -> None:
    program = (
        "import signal; from dancedepth.cli.interrupts import held\n"
        "with held():\n"
        "    signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGTERM); print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


def test_an_error_meanwhile_is_the_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ImportError), held():
        raise ImportError
    assert signal.getsignal(signal.SIGINT) == before
