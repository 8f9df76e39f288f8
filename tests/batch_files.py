"""Files that stand for a batch's videos where nothing decodes them."""

import os
from pathlib import Path

from dancedepth.pipeline.batch_videos import BatchVideo


def batch_files(folder: Path, *names: str) -> list[BatchVideo]:
    """A file of each name, which holds its name, as old as can be."""
    made = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1, 1))
        made.append(BatchVideo(name, path))
    return made
