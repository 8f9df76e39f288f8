"""The one family of errors a user can meet: what failed, where, and what to do about it."""


class DanceDepthError(Exception):
    """Something a user can understand and mend.

    Args:
        what: what failed, in one clause.
        where: the file, folder, option or stage it concerns.
        remedy: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, str(where), remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{head}. {self.remedy}" if self.remedy else head
        return " ".join(line.split())


class WeightsError(DanceDepthError):
    """A network's weights are missing, broken or not to be had."""


class UnknownModelError(WeightsError):
    """There is no model of the name that was given."""

    exit_code = 2


class UntrustedError(WeightsError):
    """A file that can run code when it is loaded, and that nobody has vouched for."""

    exit_code = 2
