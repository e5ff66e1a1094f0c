"""Which files of an email are kept (F121)."""

import pytest

from syncservice.domain.attachments import Allowed

ALLOWED = Allowed(most_bytes=1000, blocked_extensions=frozenset({"exe", "js"}))


@pytest.mark.parametrize(
    ("filename", "is_kept"),
    [
        pytest.param("offer.pdf", True, id="what isn't blocked is kept"),
        pytest.param("setup.exe", False, id="a blocked extension"),
        pytest.param("SETUP.EXE", False, id="in capital letters"),
        pytest.param("offer.pdf.exe", False, id="behind a harmless one"),
        pytest.param("setup.exe.pdf", True, id="before the last extension it means nothing"),
        pytest.param("setup.exe.", False, id="with a dot that Windows ignores"),
        pytest.param("setup.exe . .", False, id="with dots and spaces that Windows ignores"),
        pytest.param(".exe", False, id="an extension is all of the name"),
        pytest.param("exe", True, id="a name without an extension"),
        pytest.param("setup.exe2", True, id="an extension that only begins so"),
        pytest.param("C:\\temp\\setup.exe", False, id="with a folder of Windows"),
        pytest.param("my.js/readme", True, id="a folder has no extension"),
        pytest.param("", True, id="no name at all"),
        pytest.param("...", True, id="a name of dots"),
    ],
)
def test_extensions(filename: str, is_kept: bool) -> None:
    assert ALLOWED.keeps(filename, 1) is is_kept


@pytest.mark.parametrize(("size", "is_kept"), [(0, True), (1000, True), (1001, False)])
def test_the_largest_file_is_kept_and_one_byte_more_is_not(size: int, is_kept: bool) -> None:
    assert ALLOWED.keeps("offer.pdf", size) is is_kept
