"""Faults on demand, as they reach a client."""

from collections.abc import Callable

import pytest
import requests

from syncservice.simulator.exchange import ControlError, ExchangeSimulator, Fault

from .conftest import ALICE, BOB, Ask, get_request, sync_request

Deliver = Callable[..., str]
Switch = Callable[..., int]


@pytest.fixture
def switch(simulator: ExchangeSimulator) -> Switch:
    """Switch a fault on, by its fields."""

    def on(**fields: object) -> int:
        return simulator.control.add_fault(Fault(**fields))  # type: ignore[arg-type]

    return on


def values(answer: object) -> list[tuple[str, str]]:
    found = answer.all(".//t:Value")  # type: ignore[attr-defined]
    return [(one.get("Name"), one.text) for one in found]


def test_a_busy_server_tells_when_to_come_back_first_later_or_not(ask: Ask, switch: Switch) -> None:
    switch(kind="busy", back_off_ms=5000, times=1)
    first = ask(sync_request())
    assert (first.status, first.codes) == (500, ["ErrorServerBusy"])
    sentence = "The server cannot service this request right now. Try again later."
    assert first.texts(".//faultstring") == [sentence]
    assert values(first) == [("BackOffMilliseconds", "5000")]
    switch(kind="busy", back_off_ms=5000, back_off_first=False, times=1)
    assert values(ask(sync_request()))[1] == ("BackOffMilliseconds", "5000")
    switch(kind="busy", times=1)
    assert values(ask(sync_request())) == []
    assert ask(sync_request()).codes == ["NoError"]


def test_too_much_at_once_has_its_three_forms(ask: Ask, switch: Switch) -> None:
    switch(kind="concurrency", back_off_ms=1000, times=1)
    assert ("Policy", "MaxConcurrency") in values(ask(sync_request()))
    switch(kind="request", code="ErrorExceededConnectionCount", times=1)
    assert ask(sync_request()).codes == ["ErrorExceededConnectionCount"]
    switch(kind="sync_concurrency", back_off_ms=1500, times=1)
    message = ask(sync_request())
    assert (message.status, message.codes) == (200, ["ErrorServerBusy"])
    assert values(message) == [("BackOffMilliseconds", "1500")]
    assert message.texts(".//m:SyncState") == [""]


def test_an_internal_error_may_hide_a_busy_one(ask: Ask, switch: Switch) -> None:
    switch(kind="inner_busy")
    answer = ask(sync_request())
    assert answer.codes == ["ErrorInternalServerError"]
    assert ("InnerErrorResponseCode", "ErrorServerBusy") in values(answer)


@pytest.mark.parametrize("status", [429, 403, 502, 503, 504])
def test_http_statuses_come_without_a_body_of_soap(ask: Ask, switch: Switch, status: int) -> None:
    switch(kind="http", status=status, retry_after=7)
    answer = ask(sync_request())
    assert (answer.status, answer.root) == (status, None)
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers.get("Connection") is None


def test_a_503_may_come_without_retry_after(ask: Ask, switch: Switch) -> None:
    switch(kind="http", status=503)
    assert "Retry-After" not in ask(sync_request()).headers


def test_an_injected_401_asks_for_credentials(ask: Ask, switch: Switch) -> None:
    switch(kind="http", status=401)
    assert ask(sync_request()).headers["WWW-Authenticate"].startswith("Basic")


def test_html_may_come_with_200(ask: Ask, switch: Switch) -> None:
    switch(kind="html")
    answer = ask(sync_request())
    assert (answer.status, answer.headers["Content-Type"][:9]) == (200, "text/html")


def create(subject: str) -> str:
    return (
        '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message>'
        f"<t:Subject>{subject}</t:Subject></t:Message></m:Items></m:CreateItem>"
    )


def test_a_reset_before_the_commit_leaves_nothing_behind_and_one_after_it_does(
    ask: Ask, switch: Switch, simulator: ExchangeSimulator
) -> None:
    switch(kind="reset_before", operation="CreateItem", times=1)
    with pytest.raises(requests.ConnectionError):
        ask(create("before"))
    switch(kind="reset_after", operation="CreateItem", times=1)
    with pytest.raises(requests.ConnectionError):
        ask(create("after"))
    assert [one.subject for one in simulator.control.items(ALICE, "drafts")] == ["after"]


def test_a_slow_answer_comes_late_and_a_hanging_one_never(
    ask: Ask, switch: Switch, simulator: ExchangeSimulator
) -> None:
    switch(kind="slow", seconds=0.05, times=1)
    assert ask(sync_request()).codes == ["NoError"]
    switch(kind="hang", times=1)
    with pytest.raises(requests.Timeout):
        requests.post(
            simulator.ews_url,
            data='<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            '<GetServerTimeZones xmlns="http://schemas.microsoft.com/exchange/services/2006/'
            'messages"/></s:Body></s:Envelope>',
            auth=(ALICE, "alice's password"),
            timeout=0.2,
        )


def test_one_message_of_a_batch_may_fail_and_stop_the_rest(
    ask: Ask, deliver: Deliver, switch: Switch
) -> None:
    ids = [deliver(str(n)) for n in range(3)]
    switch(kind="message", operation="GetItem", code="ErrorMailboxStoreUnavailable", index=1)
    assert ask(get_request(*ids)).codes == ["NoError", "ErrorMailboxStoreUnavailable", "NoError"]
    switch(kind="message", code="ErrorQuotaExceeded", index=0, stop_batch=True)
    assert ask(get_request(*ids)).codes == [
        "ErrorQuotaExceeded",
        *["ErrorBatchProcessingStopped"] * 2,
    ]


@pytest.mark.parametrize(
    "code", ["ErrorCorruptData", "ErrorMimeContentConversionFailed", "ErrorItemNotFound"]
)
def test_one_item_may_be_corrupt_wherever_it_stands(
    ask: Ask, deliver: Deliver, switch: Switch, code: str
) -> None:
    good, bad = deliver("good"), deliver("bad")
    switch(kind="message", operation="GetItem", code=code, item_id=bad)
    assert ask(get_request(bad, good, mime=True)).codes == [code, "NoError"]
    assert ask(get_request(good, bad, mime=True)).codes == ["NoError", code]


def test_a_sync_may_be_told_that_its_state_is_bad(ask: Ask, switch: Switch) -> None:
    switch(kind="message", operation="SyncFolderItems", code="ErrorInvalidSyncStateData", times=1)
    answer = ask(sync_request())
    assert (answer.codes, answer.texts(".//m:SyncState")) == (["ErrorInvalidSyncStateData"], [""])


def test_faults_keep_to_their_mailbox_operation_and_call(
    ask: Ask, switch: Switch, simulator: ExchangeSimulator
) -> None:
    number = switch(kind="busy", mailbox=ALICE, operation="SyncFolderItems", nth=2)
    assert ask(sync_request(), login=BOB).codes == ["NoError"]
    assert ask(get_request("x")).codes == ["ErrorInvalidIdMalformed"]
    found = [ask(sync_request()).codes[0] for _ in range(3)]
    assert found == ["NoError", "ErrorServerBusy", "NoError"]
    [armed] = simulator.control.faults()
    assert (armed.number, armed.met, armed.used) == (number, 3, 1)
    assert simulator.control.statistics().faults == {"busy": 1}


def test_a_fault_meant_for_a_mailbox_also_meets_its_impersonator(ask: Ask, switch: Switch) -> None:
    switch(kind="busy", mailbox=ALICE)
    header = (
        "<t:ExchangeImpersonation><t:ConnectingSID>"
        f"<t:PrimarySmtpAddress>{ALICE}</t:PrimarySmtpAddress>"
        "</t:ConnectingSID></t:ExchangeImpersonation>"
    )
    assert ask(sync_request(), login="svc", header=header).codes == ["ErrorServerBusy"]


def test_a_fault_may_come_by_chance(ask: Ask, switch: Switch) -> None:
    switch(kind="busy", probability=0.5)
    found = {ask(sync_request()).codes[0] for _ in range(20)}
    assert found == {"NoError", "ErrorServerBusy"}


def test_faults_are_switched_off(ask: Ask, switch: Switch, simulator: ExchangeSimulator) -> None:
    simulator.control.remove_fault(switch(kind="busy"))
    switch(kind="html")
    simulator.control.clear_faults()
    assert ask(sync_request()).codes == ["NoError"]
    assert simulator.control.faults() == []


def test_a_fault_survives_its_json_form() -> None:
    fault = Fault(kind="message", code="ErrorCorruptData", index=3, mailbox=ALICE)
    assert Fault.from_json(fault.to_json()) == fault


def test_an_unknown_fault_is_refused_with_a_reason(simulator: ExchangeSimulator) -> None:
    with pytest.raises(ValueError, match="no fault of kind"):
        Fault(kind="nonsense")
    with pytest.raises(ControlError, match="no fault of kind"):
        simulator.control._ask("POST", "faults", json={"kind": "nonsense"})
