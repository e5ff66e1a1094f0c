"""The check that every simulator of the tests ends with, see answers.py."""

import pytest
import requests

from .answers import CHECKER, problems

pytestmark = pytest.mark.skipif(
    not CHECKER.exists(), reason=f"Microsoft's schema is not at {CHECKER}: answers go unchecked"
)

GET_INBOX = """<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
  xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"
  xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Body>
<m:GetFolder><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>
<m:FolderIds><t:DistinguishedFolderId Id="inbox"/></m:FolderIds></m:GetFolder>
</s:Body></s:Envelope>"""


def test_the_check_passes_an_answer_as_it_is_and_refuses_it_when_its_elements_change_places(
    simulator,
):
    answer = requests.post(
        simulator.ews_url,
        data=GET_INBOX,
        auth=("alice@example.test", "alice's password"),
        headers={"Content-Type": "text/xml; charset=utf-8"},
        timeout=10,
    ).content
    assert problems(answer) == ()
    assert problems(answer.replace(b"DisplayName", b"NameDisplayed"))
