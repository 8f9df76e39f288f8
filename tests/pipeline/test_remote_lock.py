"""Who holds a place behind a URL, who is refused, and who takes it from the dead."""

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace

import fsspec
import psutil
import pytest
from dancedepth.pipeline import remote_lock as locks
from dancedepth.pipeline.errors import RunInUseError, StorageError
from dancedepth.pipeline.folder_lock import LOCK_NAME
from dancedepth.pipeline.remote_folder import RemoteFolder
from dancedepth.pipeline.remote_lock import Holder, remote_lock

ELSEWHERE = Holder(host="another machine", process=1, began_s=0.0, token="t", beat=3, seen="now")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT_S", 0.05), ("PATIENCE_S", 0.4), ("SETTLE_S", 0.05), ("TICK_S", 0.02)):
        monkeypatch.setattr(locks, name, seconds)


@pytest.fixture
def there() -> Iterator[RemoteFolder]:
    yield RemoteFolder("memory://held/out")
    fsspec.filesystem("memory").store.clear()


def write(there: RemoteFolder, holder: Holder) -> None:
    there.write(LOCK_NAME, json.dumps(asdict(holder)).encode())


def test_the_second_is_refused_until_the_first_is_done(there: RemoteFolder) -> None:
    with remote_lock(there):
        with pytest.raises(RunInUseError, match="is writing there"), remote_lock(there):
            pass
        assert there.read(LOCK_NAME) is not None
    assert there.read(LOCK_NAME) is None
    with remote_lock(there):
        pass


def test_it_is_given_back_whatever_happens(there: RemoteFolder) -> None:
    with pytest.raises(KeyboardInterrupt), remote_lock(there):
        raise KeyboardInterrupt
    assert there.read(LOCK_NAME) is None


def test_the_dead_of_this_machine_hold_nothing(there: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1000.0)
    gone = next(number for number in range(2**22, 2, -1) if not psutil.pid_exists(number))
    for dead in (Holder(process=gone), replace(Holder(), began_s=1.0)):  # the number may be another process's by now
        write(there, dead)
        with remote_lock(there):
            pass


def test_the_silent_of_another_machine_hold_nothing(there: RemoteFolder) -> None:
    write(there, ELSEWHERE)
    with remote_lock(there):
        pass


def test_the_living_of_another_machine_are_left_alone(there: RemoteFolder) -> None:
    write(there, ELSEWHERE)
    threading.Timer(0.15, write, (there, replace(ELSEWHERE, beat=4))).start()
    with pytest.raises(RunInUseError, match="another machine"), remote_lock(there):
        pass
    kept = there.read(LOCK_NAME)
    assert kept is not None and json.loads(kept)["token"] == "t"


def test_whoever_works_shows_it(there: RemoteFolder) -> None:
    beats = set()
    with remote_lock(there):
        for _ in range(40):
            beats.add(json.loads(there.read(LOCK_NAME) or b"{}")["beat"])
            threading.Event().wait(0.02)
    assert len(beats) > 2


def test_of_two_at_once_one_goes_on(there: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find the place free; the one that wrote first finds the other's name."""
    monkeypatch.setattr(locks.time, "sleep", lambda _: write(there, ELSEWHERE))
    with pytest.raises(RunInUseError, match="another machine"), remote_lock(there):
        pass


@pytest.mark.parametrize("data", [b"", b"half of a {", b"[1]", b"{}", b'{"host": 3}'])
def test_what_is_no_lock_holds_nothing(there: RemoteFolder, data: bytes) -> None:
    there.write(LOCK_NAME, data)
    with remote_lock(there):
        assert json.loads(there.read(LOCK_NAME) or b"")["beat"] == 0


def test_a_store_that_fails_meanwhile_is_for_others_to_tell(
    there: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise StorageError("it cannot be written", there.url)

    with remote_lock(there):
        monkeypatch.setattr(there, "write", gone)
        monkeypatch.setattr(there, "read", gone)
        threading.Event().wait(0.2)
