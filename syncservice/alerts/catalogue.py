from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    meaning: str
    cause: str
    remedy: str
    reference: str = ""


def entry_of(code: str) -> Entry:
    return Entry(code, code, "", "")
