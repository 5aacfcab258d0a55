"""Reads intended.toml: the differences from Glance that are on purpose."""
import dataclasses
import fnmatch
import pathlib
import tomllib

LIST = pathlib.Path(__file__).with_name("intended.toml")


@dataclasses.dataclass
class Intended:
    """One reason to differ, and the cases it explains."""

    cases: list[str]  # patterns of case ids, * stands for anything
    status: int  # what the gate answers
    why: str
    modes: list[str] | None = None  # patterns of modes; None: all

    def explains(self, case_id: str, mode: str) -> bool:
        """Says whether the entry is about this case in this mode."""
        return any(fnmatch.fnmatchcase(case_id, pattern) for pattern in self.cases) and (
            self.modes is None or any(fnmatch.fnmatchcase(mode, pattern) for pattern in self.modes))


def load() -> list[Intended]:
    """Returns the entries, in the order of the file: the first that matches counts."""
    entries = tomllib.loads(LIST.read_text())["intended"]
    return [Intended(**entry) for entry in entries]
