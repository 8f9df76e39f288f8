"""What can go wrong in a run; the family's root and the networks' errors stand in `models.errors`."""

from dancedepth.models.errors import DanceDepthError, WeightsError

__all__ = [
    "DanceDepthError",
    "PersonError",
    "RunFolderError",
    "RunInUseError",
    "StorageError",
    "UsageError",
    "VideoError",
    "WeightsError",
]


class UsageError(DanceDepthError):
    """An option or argument is wrong; nothing was started."""

    exit_code = 2


class VideoError(DanceDepthError):
    """The input cannot be read as a video, or holds no usable frames."""


class PersonError(DanceDepthError):
    """No person, or too little of one, was found in the video."""


class StorageError(DanceDepthError):
    """A file of the run cannot be written or read."""


class RunFolderError(UsageError):
    """The output folder holds another run, or somebody else's files."""


class RunInUseError(DanceDepthError):
    """Another process is writing this run folder."""
