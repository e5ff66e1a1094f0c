"""Finding items by a client's own key in an extended property, and seeing them in lists."""

import pytest

from .conftest import Ask, get_request

KEY = (
    '<t:ExtendedFieldURI PropertySetId="4d3c6f1e-7c0b-4f0e-9a51-1f6f6c1b7a10" '
    'PropertyName="CrmKey" PropertyType="String"/>'
)
FOLDERS = ("calendar", "contacts", "tasks")
PATHS = KEY + "".join(
    f'<t:FieldURI FieldURI="{one}"/>'
    for one in (
        "item:Subject",
        "item:Categories",
        "item:LastModifiedTime",
        "calendar:UID",
        "calendar:Start",
        "contacts:DisplayName",
    )
)
EMAIL = '<t:IndexedFieldURI FieldURI="contacts:EmailAddress" FieldIndex="EmailAddress1"/>'
ITEMS = {
    "calendar": (
        "<t:CalendarItem><t:Subject>Call</t:Subject><t:Categories><t:String>CRM</t:String>"
        "</t:Categories>{key}<t:UID>u-1</t:UID><t:Start>2026-05-04T07:00:00Z</t:Start>"
        "<t:End>2026-05-04T08:00:00Z</t:End></t:CalendarItem>"
    ),
    "contacts": (
        "<t:Contact>{key}<t:DisplayName>Zoë</t:DisplayName><t:EmailAddresses>"
        '<t:Entry Key="EmailAddress1">z@x.test</t:Entry>'
        '<t:Entry Key="EmailAddress2">zoe@x.test</t:Entry></t:EmailAddresses></t:Contact>'
    ),
    "tasks": "<t:Task><t:Subject>Write</t:Subject>{key}</t:Task>",
}


def key(text: str) -> str:
    return f"<t:ExtendedProperty>{KEY}<t:Value>{text}</t:Value></t:ExtendedProperty>"


def equals(text: str, path: str = KEY) -> str:
    constant = f'<t:FieldURIOrConstant><t:Constant Value="{text}"/></t:FieldURIOrConstant>'
    return f"<t:IsEqualTo>{path}{constant}</t:IsEqualTo>"


def find(restriction: str, *folders: str) -> str:
    named = "".join(f'<t:DistinguishedFolderId Id="{one}"/>' for one in folders)
    return (
        '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>'
        f"<t:AdditionalProperties>{PATHS}{EMAIL}</t:AdditionalProperties></m:ItemShape>"
        f"<m:Restriction>{restriction}</m:Restriction>"
        f"<m:ParentFolderIds>{named}</m:ParentFolderIds></m:FindItem>"
    )


@pytest.fixture
def items(ask: Ask) -> dict[str, str]:
    """One item of each class with the key of its folder's name, and one without."""
    created = {}
    for folder, text in ITEMS.items():
        both = text.format(key=key(folder)) + text.format(key="")
        answer = ask(
            f'<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items>{both}</m:Items>'
            "</m:CreateItem>"
        )
        created[folder] = answer.ids(".//t:ItemId")[0]
    return created


def test_an_item_is_found_by_its_key_in_the_folders_that_are_asked(
    ask: Ask, items: dict[str, str]
) -> None:
    for folder, identity in items.items():
        answer = ask(find(equals(folder), *FOLDERS))
        assert answer.codes == ["NoError"] * 3
        assert answer.ids(".//t:ItemId") == [identity]
    assert ask(find(equals("nobody"), *FOLDERS)).ids(".//t:ItemId") == []
    assert ask(find(equals("tasks"), "calendar", "contacts")).ids(".//t:ItemId") == []


def test_many_keys_are_found_at_once(ask: Ask, items: dict[str, str]) -> None:
    keys = [*(f"unknown {number}" for number in range(200)), *FOLDERS]
    answer = ask(find(f"<t:Or>{''.join(map(equals, keys))}</t:Or>", *FOLDERS))
    assert answer.ids(".//t:ItemId") == [items[folder] for folder in FOLDERS]
    exists = ask(find(f"<t:Exists>{KEY}</t:Exists>", *FOLDERS))
    assert exists.ids(".//t:ItemId") == [items[folder] for folder in FOLDERS]


@pytest.mark.parametrize("kind", ["String", "SystemTime", "Integer"])
def test_a_key_may_be_a_text_a_moment_or_a_number(ask: Ask, kind: str) -> None:
    path = KEY.replace('"String"', f'"{kind}"')
    written, asked, listed = {
        "String": ("Abc", "aBC", "Abc"),
        "SystemTime": (
            "2026-05-04T09:00:00+02:00",
            "2026-05-04T07:00:00Z",
            "2026-05-04T07:00:00Z",
        ),
        "Integer": ("7", "07", "7"),
    }[kind]
    text = key(written).replace(KEY, path)
    ask(f"<m:CreateItem><m:Items><t:Task>{text}</t:Task></m:Items></m:CreateItem>")
    answer = ask(find(equals(asked, path), "tasks").replace(PATHS, path))
    assert answer.texts(".//t:Value") == [listed]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("calendar", "Subject Categories ExtendedProperty LastModifiedTime UID Start"),
        ("contacts", "Subject ExtendedProperty LastModifiedTime DisplayName EmailAddresses"),
        ("tasks", "Subject ExtendedProperty LastModifiedTime"),
    ],
)
def test_a_sync_shows_what_it_is_asked_for(
    ask: Ask, items: dict[str, str], folder: str, expected: str
) -> None:
    answer = ask(
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>"
        f"<t:AdditionalProperties>{PATHS}{EMAIL}</t:AdditionalProperties></m:ItemShape>"
        f'<m:SyncFolderId><t:DistinguishedFolderId Id="{folder}"/></m:SyncFolderId>'
        "<m:MaxChangesReturned>512</m:MaxChangesReturned></m:SyncFolderItems>"
    )
    shown = answer.all(".//t:Create/*")[1]
    names = [str(one.tag).rpartition("}")[2] for one in shown]
    assert names == ["ItemId", *expected.split()]
    assert answer.texts(".//t:Value") == [folder]
    if folder == "contacts":
        assert answer.texts(".//t:Entry") == ["z@x.test"] * 2


def test_a_body_is_shown_as_text_when_text_is_asked_for(ask: Ask) -> None:
    html = "&lt;p&gt;F&amp;uuml;r &amp;#8364; 5&lt;/p&gt;&lt;p&gt;a &amp;lt; b&lt;/p&gt;"
    [identity] = ask(
        f'<m:CreateItem><m:Items><t:Task><t:Body BodyType="HTML">{html}</t:Body></t:Task></m:Items>'
        "</m:CreateItem>"
    ).ids(".//t:ItemId")
    request = get_request(identity, paths='<t:FieldURI FieldURI="item:Body"/>')
    kind = "</t:BaseShape><t:BodyType>Text</t:BodyType>"
    [body] = ask(request.replace("</t:BaseShape>", kind)).all(".//t:Body")
    assert (body.get("BodyType"), body.text) == ("Text", "Für € 5\na < b")
    [body] = ask(request).all(".//t:Body")
    assert body.get("BodyType") == "HTML"
