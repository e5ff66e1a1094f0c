"""Which texts of the package are for people, found without GNU gettext."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation.template import templatize

import syncservice

PACKAGE = Path(syncservice.__file__).parent
CATALOG = PACKAGE / "locale" / "nl" / "LC_MESSAGES"
_PLURAL = {"ngettext", "ngettext_lazy"}
_NAMES = {"_", "gettext", "gettext_lazy", *_PLURAL}
_CALL = re.compile(r"(?<!\w)(?:_|n?gettext)\(")


def texts() -> Iterator[tuple[str, str]]:
    """Return every text and the file it is in; one with a plural is two."""
    for file in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")]:
        source = file.read_text()
        calls = (
            _calls_in_template(source) if file.suffix == ".html" else ast.walk(ast.parse(source))
        )
        for call in calls:
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in _NAMES:
                wanted = 2 if call.func.id in _PLURAL else 1
                for argument in call.args[:wanted]:
                    if isinstance(argument, ast.Constant):
                        yield argument.value, file.name


def _calls_in_template(source: str) -> Iterator[ast.AST]:
    python = templatize(source)  # as makemessages does: texts become calls, the rest x-es
    for start in _CALL.finditer(python):
        for end in re.finditer(r"\)", python[start.start() :]):
            try:
                yield ast.parse(python[start.start() : start.start() + end.end()]).body[0].value
                break
            except SyntaxError:
                continue
