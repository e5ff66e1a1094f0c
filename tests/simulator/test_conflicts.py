"""Updates in document order, change keys, and who wins a conflict."""

from collections.abc import Callable

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import ALICE, Answer, Ask, get_request

Deliver = Callable[..., str]


def set_field(uri: str, inner: str, element: str = "Message") -> str:
    return (
        f'<t:SetItemField><t:FieldURI FieldURI="{uri}"/><t:{element}>{inner}</t:{element}>'
        "</t:SetItemField>"
    )


def subject(text: str) -> str:
    return set_field("item:Subject", f"<t:Subject>{text}</t:Subject>")


def update(item_id: str, key: str, *updates: str, resolution: str = "NeverOverwrite") -> str:
    attribute = f'ChangeKey="{key}"' if key else ""
    return (
        f'<m:UpdateItem ConflictResolution="{resolution}" MessageDisposition="SaveOnly" '
        'SendMeetingInvitationsOrCancellations="SendToNone"><m:ItemChanges><t:ItemChange>'
        f'<t:ItemId Id="{item_id}" {attribute}/><t:Updates>{"".join(updates)}</t:Updates>'
        "</t:ItemChange></m:ItemChanges></m:UpdateItem>"
    )


def key_of(answer: Answer) -> str:
    return answer.all(".//t:ItemId")[0].get("ChangeKey") or ""


def read(ask: Ask, item_id: str, uri: str = "item:Subject") -> Answer:
    return ask(get_request(item_id, paths=f'<t:FieldURI FieldURI="{uri}"/>'))


def test_each_update_gives_a_new_key_and_the_old_one_conflicts(ask: Ask, deliver: Deliver) -> None:
    item = deliver("first")
    old = key_of(read(ask, item))
    answer = ask(update(item, old, subject("second")))
    assert answer.codes == ["NoError"]
    assert key_of(answer) == key_of(read(ask, item)) != old
    assert ask(update(item, old, subject("third"))).codes == ["ErrorIrresolvableConflict"]
    assert read(ask, item).texts(".//t:Subject") == ["second"]
    always = ask(update(item, old, subject("fourth"), resolution="AlwaysOverwrite"))
    assert always.codes == ["NoError"]
    assert read(ask, item).texts(".//t:Subject") == ["fourth"]


def test_auto_resolve_merges_and_counts_what_both_sides_changed(
    ask: Ask, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    item = deliver("first")
    old = key_of(read(ask, item))
    ask(update(item, old, subject("theirs")))
    importance = set_field("item:Importance", "<t:Importance>High</t:Importance>")
    other = ask(update(item, old, importance, resolution="AutoResolve"))
    assert other.texts(".//m:ConflictResults/t:Count") == ["0"]
    mine = ask(update(item, old, subject("mine"), resolution="AutoResolve"))
    assert mine.texts(".//m:ConflictResults/t:Count") == ["1"]
    assert read(ask, item).texts(".//t:Subject") == ["mine"]
    simulator.control.set_strict_conflicts(True)
    strict = ask(update(item, old, subject("again"), resolution="AutoResolve"))
    assert strict.codes == ["ErrorIrresolvableConflict"]


def test_confidential_stays_when_a_conflict_is_resolved(ask: Ask, deliver: Deliver) -> None:
    item = deliver("x")
    old = key_of(read(ask, item))

    def sensitivity(text: str) -> str:
        return set_field("item:Sensitivity", f"<t:Sensitivity>{text}</t:Sensitivity>")

    ask(update(item, old, sensitivity("Confidential")))
    ask(update(item, old, sensitivity("Normal"), resolution="AutoResolve"))
    assert read(ask, item, "item:Sensitivity").texts(".//t:Sensitivity") == ["Confidential"]


def test_a_change_key_is_required_and_must_be_one(ask: Ask, deliver: Deliver) -> None:
    item = deliver("x")
    missing = ask(update(item, "", subject("y")))
    assert missing.codes == ["ErrorChangeKeyRequiredForWriteOperations"]
    assert ask(update(item, "AAAA", subject("y"))).codes == ["ErrorInvalidChangeKey"]
    assert ask(update(item, "???", subject("y"))).codes == ["ErrorInvalidChangeKey"]


def test_sending_a_stale_draft_is_refused(ask: Ask, simulator: ExchangeSimulator) -> None:
    created = ask(
        '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message><t:Subject>s</t:Subject>'
        f"<t:ToRecipients><t:Mailbox><t:EmailAddress>{ALICE}</t:EmailAddress></t:Mailbox>"
        "</t:ToRecipients></t:Message></m:Items></m:CreateItem>"
    )
    item, old = created.ids(".//t:ItemId")[0], key_of(created)
    ask(update(item, old, subject("t")))
    send = f'<m:ItemIds><t:ItemId Id="{item}" ChangeKey="{old}"/></m:ItemIds>'
    stale = ask(f'<m:SendItem SaveItemToFolder="true">{send}</m:SendItem>')
    assert stale.codes == ["ErrorStaleObject"]


def test_updates_apply_in_document_order_and_may_name_a_property_twice(
    ask: Ask, simulator: ExchangeSimulator
) -> None:
    created = ask(
        "<m:CreateItem><m:Items><t:Contact><t:DisplayName>Z</t:DisplayName></t:Contact></m:Items>"
        "</m:CreateItem>"
    )
    item, key = created.ids(".//t:ItemId")[0], key_of(created)

    def path(number: int) -> str:
        return (
            '<t:IndexedFieldURI FieldURI="contacts:EmailAddress" '
            f'FieldIndex="EmailAddress{number}"/>'
        )

    def put(number: int, text: str) -> str:
        return (
            f"<t:SetItemField>{path(number)}<t:Contact><t:EmailAddresses>"
            f'<t:Entry Key="EmailAddress{number}">{text}</t:Entry></t:EmailAddresses></t:Contact>'
            "</t:SetItemField>"
        )

    def drop(number: int) -> str:
        return f"<t:DeleteItemField>{path(number)}</t:DeleteItemField>"

    changes = (put(1, "a@x.test"), drop(3), drop(2), put(2, "b@x.test"), drop(3))
    assert ask(update(item, key, *changes)).codes == ["NoError"]
    found = read(ask, item, "contacts:EmailAddresses")
    assert found.texts(".//t:Entry") == ["a@x.test", "b@x.test"]


def test_wrong_updates_have_their_errors_and_change_nothing(ask: Ask, deliver: Deliver) -> None:
    item = deliver("x")
    key = key_of(read(ask, item))
    both = "<t:Subject>a</t:Subject><t:Importance>Low</t:Importance>"
    expected = {
        set_field("item:Subject", both): "ErrorIncorrectUpdatePropertyCount",
        set_field(
            "item:Subject", "<t:Importance>Low</t:Importance>"
        ): "ErrorUpdatePropertyMismatch",
        set_field("item:Size", "<t:Size>1</t:Size>"): "ErrorInvalidPropertySet",
        set_field("message:References", "<t:References>a</t:References>"): (
            "ErrorInvalidPropertySet"  # it was sent
        ),
        set_field("contacts:Surname", "<t:Surname>a</t:Surname>"): "ErrorInvalidPropertyRequest",
        set_field("item:Nonsense", "<t:Subject>a</t:Subject>"): "ErrorSchemaValidation",
    }
    found = {one: ask(update(item, key, subject("y"), one)).codes[0] for one in expected}
    assert found == expected
    assert read(ask, item).texts(".//t:Subject") == ["x"]


def test_an_update_can_append(ask: Ask, simulator: ExchangeSimulator) -> None:
    created = ask(
        '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message>'
        '<t:Body BodyType="Text">one</t:Body></t:Message></m:Items></m:CreateItem>'
    )
    more = (
        '<t:AppendToItemField><t:FieldURI FieldURI="item:Body"/><t:Message>'
        '<t:Body BodyType="Text"> two</t:Body></t:Message></t:AppendToItemField>'
    )
    item = created.ids(".//t:ItemId")[0]
    ask(update(item, key_of(created), more))
    assert read(ask, item, "item:Body").texts(".//t:Body") == ["one two"]


def test_only_a_read_flag_change_is_not_an_update_of_the_text(ask: Ask, deliver: Deliver) -> None:
    item = deliver("x")
    before = ask(get_request(item, mime=True))
    ask(update(item, key_of(before), set_field("message:IsRead", "<t:IsRead>1</t:IsRead>")))
    after = ask(get_request(item, mime=True))
    assert before.texts(".//t:MimeContent") == after.texts(".//t:MimeContent")
    assert key_of(before) != key_of(after)
