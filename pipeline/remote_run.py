"""One run whose folder lies behind a URL: made in a scratch folder of this machine, and put there when it is finished.

`run.json` is put last: a run folder behind a URL that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from dancedepth.models.weights import sha256_of
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.errors import RunFolderError, StorageError
from dancedepth.pipeline.folder_lock import LOCK_NAME
from dancedepth.pipeline.manifest import Manifest, manifest_of
from dancedepth.pipeline.records import Observer
from dancedepth.pipeline.remote_folder import AT_ONCE, RemoteFolder, parsed
from dancedepth.pipeline.stages import differences
from dancedepth.pipeline.workspace import LAST_STAGE, RunFolder

MANIFEST = "run.json"
REMEDY = "Give --overwrite to replace it, or choose another --out"


def run_to_url(
    video: Path, url: str, config: RunConfig, overwrite: bool, observer: Observer, make: Callable[[Path], object]
) -> None:
    """Have `make` write a run of `video` into a scratch folder, and put it to `url`.

    A run that is there already is kept if it is this one and whole. The scratch folder goes when the run is put or has
    failed; if the process is killed or interrupted, or the store fails, the next attempt on this machine goes on in it.

    Raises:
        RunFolderError: `url` holds another run, or somebody else's files.
        StorageError: the store or the scratch folder cannot be written.
        DanceDepthError: as `make`.
    """
    there = RemoteFolder(url)
    earlier = _kept(there, video, config, overwrite)
    if earlier is not None:
        there.write(MANIFEST, earlier)  # anew: it is as young as the video's last change
        return
    scratch = _scratch(video, url, config)
    try:
        make(scratch)
    except Exception:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    _put(RunFolder(scratch), there, observer)
    shutil.rmtree(scratch, ignore_errors=True)


def read_remote_manifest(there: RemoteFolder, name: str = MANIFEST) -> Manifest | None:
    """The manifest of a run behind a URL; None if there is none, or a broken one."""
    data = there.read(name)
    values = None if data is None else parsed(data)
    try:
        return None if values is None else manifest_of(values, there.at(name))
    except RunFolderError:
        return None


def _kept(there: RemoteFolder, video: Path, config: RunConfig, overwrite: bool) -> bytes | None:
    """The `run.json` of a run that is there and need not be made again."""
    if overwrite:
        return None
    data = there.read(MANIFEST)
    if data is None:
        _require_no_other_files(there)
        return None
    manifest = read_remote_manifest(there)
    if manifest is None:
        return None
    if manifest.input.sha256 != sha256_of(video):
        raise RunFolderError(f"it holds a run of another video ({manifest.input.path})", there.url, REMEDY)
    changes = differences(manifest.config.to_json(), config.to_json())
    if changes:
        raise RunFolderError(f"it holds a run with other settings ({'; '.join(changes)})", there.url, REMEDY)
    return data if manifest.finished and manifest.stage(LAST_STAGE) is not None else None


def _require_no_other_files(there: RemoteFolder) -> None:
    others = [name for name in there.names() if not RunFolder.knows(name)]
    if others:
        what = f"the place is not empty and holds no run ({others[0]} is in it)"
        raise RunFolderError(what, there.url, "Choose a new or empty place as --out")


def _put(run: RunFolder, there: RemoteFolder, observer: Observer) -> None:
    """Every file, `run.json` last; what an earlier run left there is removed first."""
    here = sorted(str(path.relative_to(run.root)) for path in run.root.rglob("*") if path.is_file())
    names = [name for name in here if name not in (MANIFEST, LOCK_NAME)]
    before = there.names()
    there.remove([MANIFEST] * (MANIFEST in before))
    there.remove([name for name in before if RunFolder.knows(name) and name not in here])
    observer.stage_started("upload", len(names) + 1)
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        there.put(run.root, some)
        observer.advanced(len(some))
    there.put(run.root, [MANIFEST])
    observer.advanced()


def _scratch(video: Path, url: str, config: RunConfig) -> Path:
    """The folder that every attempt at this run on this machine uses; its own lock keeps a second process out."""
    home = Path(tempfile.gettempdir()) / f"dancedepth-{os.getuid()}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if home.stat().st_uid != os.getuid():
            raise StorageError("the scratch folder belongs to somebody else", str(home), "Set TMPDIR to another folder")
        stat = video.stat()
    except OSError as error:
        what = f"the scratch folder cannot be made ({error.strerror})"
        raise StorageError(what, error.filename or str(home), "Set TMPDIR to a folder with room") from error
    asked = [str(video.absolute()), stat.st_size, stat.st_mtime_ns, url, config.to_json()]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode(errors="surrogateescape")).hexdigest()
    return home / digest[:20]
