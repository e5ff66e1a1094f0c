"""HTTP, envelopes, authentication, ids: requests written by hand."""

from collections.abc import Callable

import pytest
import requests

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import ALICE, BOB, Ask, get_request, mail, sync_request

Deliver = Callable[..., str]


def impersonating(address: str) -> str:
    return (
        "<t:ExchangeImpersonation><t:ConnectingSID>"
        f"<t:SmtpAddress>{address}</t:SmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>"
    )


def get_inbox(mailbox: str = "") -> str:
    inner = f"<t:Mailbox><t:EmailAddress>{mailbox}</t:EmailAddress></t:Mailbox>" if mailbox else ""
    return (
        "<m:GetFolder><m:FolderShape><t:BaseShape>AllProperties</t:BaseShape></m:FolderShape>"
        f'<m:FolderIds><t:DistinguishedFolderId Id="inbox">{inner}</t:DistinguishedFolderId>'
        "</m:FolderIds></m:GetFolder>"
    )


def test_the_simulator_says_that_it_is_one(simulator: ExchangeSimulator) -> None:
    answer = requests.get(simulator.url, timeout=5)
    assert "simulator" in answer.text
    assert "simulator" in answer.headers["Server"]


def test_nobody_gets_in_without_credentials(simulator: ExchangeSimulator, ask: Ask) -> None:
    answer = requests.post(simulator.ews_url, data=b"x", timeout=5)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert ask(sync_request(), password="wrong").status == 401
    assert simulator.control.statistics().authentication_failures == 1


def test_only_service_accounts_impersonate_and_only_what_exists(ask: Ask) -> None:
    own = ask(get_inbox(), login="svc", header=impersonating(ALICE))
    assert own.codes == ["NoError"]
    denied = ask(get_inbox(), login=BOB, header=impersonating(ALICE))
    assert denied.codes == ["ErrorImpersonateUserDenied"]
    missing = ask(get_inbox(), login="svc", header=impersonating("no@example.test"))
    assert missing.codes == ["ErrorNonExistentMailbox"]
    assert ask(get_inbox(), login="svc").codes == ["ErrorNonExistentMailbox"]


def test_another_mailbox_is_closed(ask: Ask, deliver: Deliver) -> None:
    item = deliver("private")
    assert ask(get_request(item), login=BOB).codes == ["ErrorAccessDenied"]
    assert ask(get_inbox(ALICE), login=BOB).codes == ["ErrorAccessDenied"]
    assert ask(get_inbox("no@example.test"), login=BOB).codes == ["ErrorNonExistentMailbox"]


def test_ids_that_are_none_and_ids_that_are_gone_differ(
    ask: Ask, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    gone = deliver("x")
    simulator.control.delete(gone)
    swapped = gone.swapcase()
    assert ask(get_request(gone, "DUMMY", swapped)).codes == [
        "ErrorItemNotFound",
        "ErrorInvalidIdMalformed",
        "ErrorInvalidIdMalformed",
    ]


def test_the_version_probe_is_answered_with_a_version(ask: Ask) -> None:
    answer = ask(
        '<m:ConvertId DestinationFormat="EwsId"><m:SourceIds><t:AlternateId Format="EwsId" '
        f'Id="DUMMY" Mailbox="{ALICE}"/></m:SourceIds></m:ConvertId>'
    )
    assert (answer.status, answer.codes) == (200, ["ErrorInvalidIdMalformed"])
    [version] = answer.all(".//t:ServerVersionInfo")
    assert version.get("MajorBuildNumber") == "2507"


def test_a_good_id_is_converted_and_tells_its_mailbox(ask: Ask, deliver: Deliver) -> None:
    item = deliver("x")
    answer = ask(
        '<m:ConvertId DestinationFormat="EwsId"><m:SourceIds><t:AlternateId Format="EwsId" '
        f'Id="{item}" Mailbox="somebody@elsewhere.test"/></m:SourceIds></m:ConvertId>'
    )
    [found] = answer.all(".//m:AlternateId")
    assert (found.get("Id"), found.get("Mailbox")) == (item, ALICE)


def test_nobody_keeps_a_configuration(ask: Ask) -> None:
    answer = ask(
        '<m:GetUserConfiguration><m:UserConfigurationName Name="OWA.UserOptions">'
        '<t:DistinguishedFolderId Id="root"/></m:UserConfigurationName>'
        "<m:UserConfigurationProperties>All</m:UserConfigurationProperties>"
        "</m:GetUserConfiguration>"
    )
    assert answer.codes == ["ErrorItemNotFound"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<m:FindPeople/>", "ErrorInvalidRequest"),
        ("<m:Nonsense/>", "ErrorInvalidRequest"),
        ("", "ErrorSchemaValidation"),
        ("<m:GetItem/>", "ErrorSchemaValidation"),
        ("<m:GetItem", "ErrorSchemaValidation"),
        (get_inbox().replace('"inbox"', '"nowhere"'), "ErrorSchemaValidation"),
        (get_inbox().replace('"inbox"', '"archiveinbox"'), "ErrorFolderNotFound"),
        (get_request("x").replace("IdOnly", "Everything"), "ErrorSchemaValidation"),
        (get_request(), "ErrorSchemaValidation"),
    ],
)
def test_requests_that_are_wrong_are_refused_by_code(ask: Ask, body: str, code: str) -> None:
    answer = ask(body)
    assert answer.codes == [code]
    assert answer.root is not None


def test_a_violation_tells_where_it_is(ask: Ask) -> None:
    answer = ask(sync_request(folder="nowhere"))
    assert "nowhere" in answer.texts(".//t:Violation")[0]
    assert answer.texts(".//t:LineNumber") == ["1"]


def test_entities_are_not_expanded(simulator: ExchangeSimulator) -> None:
    bomb = b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>"
    answer = requests.post(
        simulator.ews_url, data=bomb, auth=(ALICE, "alice's password"), timeout=5
    )
    assert answer.status_code == 500
    assert b"ErrorSchemaValidation" in answer.content
    assert b"root:" not in answer.content


def test_properties_come_in_the_order_of_the_schema(ask: Ask, deliver: Deliver) -> None:
    paths = "".join(
        f'<t:FieldURI FieldURI="{one}"/>'
        for one in (
            "message:IsRead",
            "item:Subject",
            "contacts:Surname",
            "message:From",
            "item:Size",
            "meeting:IsOutOfDate",
        )
    )
    answer = ask(get_request(deliver("x"), paths=paths, mime=True))
    [message] = answer.all(".//m:Items/t:Message")
    names = [str(one.tag).rpartition("}")[2] for one in message]
    assert names == ["MimeContent", "ItemId", "Subject", "Size", "From", "IsRead"]


def test_an_item_with_its_elements_out_of_order_is_refused(ask: Ask) -> None:
    answer = ask(
        '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message>'
        '<t:Body BodyType="Text">b</t:Body><t:Subject>s</t:Subject></t:Message></m:Items>'
        "</m:CreateItem>"
    )
    assert answer.codes == ["ErrorSchemaValidation"]


def test_a_message_cannot_be_created_without_saying_what_to_do_with_it(ask: Ask) -> None:
    create = "<m:CreateItem><m:Items>{}</m:Items></m:CreateItem>"
    message = "<t:Message><t:Subject>s</t:Subject></t:Message>"
    assert ask(create.format(message)).codes == ["ErrorMessageDispositionRequired"]
    assert ask(create.format("<t:CalendarItem/>")).codes == ["ErrorSendMeetingInvitationsRequired"]
    assert ask(create.format("<t:Task/>" + message)).codes == [
        "NoError",
        "ErrorMessageDispositionRequired",
    ]


def test_extended_properties_are_echoed_as_asked(ask: Ask) -> None:
    path = (
        '<t:ExtendedFieldURI DistinguishedPropertySetId="PublicStrings" PropertyName="key" '
        'PropertyType="String"/>'
    )
    guid = (
        '<t:ExtendedFieldURI PropertySetId="00020329-0000-0000-C000-000000000046" '
        'PropertyName="key" PropertyType="String"/>'
    )
    created = ask(
        '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message><t:ExtendedProperty>'
        f"{path}<t:Value>a &amp; b</t:Value></t:ExtendedProperty></t:Message></m:Items>"
        "</m:CreateItem>"
    )
    answer = ask(get_request(created.ids(".//t:ItemId")[0], paths=path + guid))
    assert answer.texts(".//t:ExtendedProperty/t:Value") == ["a & b"] * 2
    first, second = answer.all(".//t:ExtendedFieldURI")
    assert first.get("DistinguishedPropertySetId") == "PublicStrings"
    assert second.get("PropertySetId", "").startswith("00020329")
    mixed = path.replace("DistinguishedPropertySetId", 'PropertyTag="0x1234" PropertySetId')
    refused = ask(get_request("x", paths=mixed))
    assert refused.codes == ["ErrorInvalidExtendedProperty"]


def test_a_long_find_is_cut_and_says_so(ask: Ask, simulator: ExchangeSimulator) -> None:
    simulator.control.deliver_many((ALICE, b"Subject: %d\r\n\r\n" % n) for n in range(1010))

    def find(more: str, offset: int = 0) -> list[str | None]:
        answer = ask(
            '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>'
            f'</m:ItemShape><m:IndexedPageItemView MaxEntriesReturned="5000" Offset="{offset}" '
            f'BasePoint="Beginning"/>{more}<m:ParentFolderIds><t:DistinguishedFolderId Id="inbox"/>'
            "</m:ParentFolderIds></m:FindItem>"
        )
        [folder] = answer.all(".//m:RootFolder")
        names = ("IndexedPagingOffset", "TotalItemsInView", "IncludesLastItemInRange")
        return [folder.get(name) for name in names]

    assert find("") == ["1000", "1010", "false"]
    assert find("", offset=1000) == ["1010", "1010", "true"]
    filtered = (
        '<m:Restriction><t:Contains ContainmentMode="Substring"><t:FieldURI '
        'FieldURI="item:Subject"/><t:Constant Value="1"/></t:Contains></m:Restriction>'
    )
    found = find(filtered)
    assert (found[0], found[2]) == ("250", "false")


def test_connections_are_counted(ask: Ask, simulator: ExchangeSimulator) -> None:
    ask(sync_request())
    ask(sync_request())
    counters = simulator.control.statistics()
    assert counters.requests == {"SyncFolderItems": 2}
    assert (counters.open_connections, counters.peak_connections) == (1, 1)
    simulator.control.reset_statistics()
    assert simulator.control.statistics().requests == {}


def test_extended_properties_name_what_the_schema_names_too(ask: Ask, deliver: Deliver) -> None:
    """MAPI has a tag for nearly everything; DavMail knows messages by nothing else."""
    identity = deliver("by tag")
    paths = "".join(
        f'<t:ExtendedFieldURI PropertyTag="{tag}" PropertyType="{kind}"/>'
        for tag, kind in (
            ("0x0037", "String"),
            ("0x0017", "Integer"),
            ("0x0e07", "Integer"),
            ("0x0e08", "Integer"),
            ("0x1235", "String"),
        )
    )
    answer = ask(get_request(identity, paths=paths))
    values = answer.texts(".//t:ExtendedProperty/t:Value")
    assert values == ["by tag", "1", "0", str(len(mail("by tag")))]


def test_article_numbers_ascend_and_outlive_changes(ask: Ask, deliver: Deliver) -> None:
    path = '<t:ExtendedFieldURI PropertyTag="0x0e23" PropertyType="Integer"/>'

    def numbers() -> list[int]:
        answer = ask(get_request(*ids, paths=path))
        return [int(text) for text in answer.texts(".//t:ExtendedProperty/t:Value")]

    ids = [deliver("first"), deliver("second")]
    before = numbers()
    assert before == sorted(before)
    update = (
        f'<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly">'
        f'<m:ItemChanges><t:ItemChange><t:ItemId Id="{ids[0]}" ChangeKey="{{}}"/><t:Updates>'
        '<t:SetItemField><t:FieldURI FieldURI="item:Importance"/><t:Item>'
        "<t:Importance>High</t:Importance></t:Item></t:SetItemField></t:Updates></t:ItemChange>"
        "</m:ItemChanges></m:UpdateItem>"
    )
    key = ask(get_request(ids[0])).all(".//t:ItemId")[0].get("ChangeKey")
    assert ask(update.format(key)).codes == ["NoError"]
    assert numbers() == before
