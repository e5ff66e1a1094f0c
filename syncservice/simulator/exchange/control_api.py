"""The control API: JSON over HTTP below /simulator/, for tests, benches and the demo.

GET    /simulator/                      what can be done
POST   /simulator/mailboxes             {"mailboxes": [{"address", "password"?, "name"?}]}
GET    /simulator/mailboxes             {"mailboxes": [address...]}
POST   /simulator/service-accounts      {"login", "password"}
POST   /simulator/deliver?mailbox=&folder=&received=     the RFC 5322 text as the body
POST   /simulator/deliver-many          {"messages": [{"mailbox", "mime" (base64), "folder"?,
                                        "received"?}]}, answers {"ids": [...]}
GET    /simulator/items?mailbox=&folder=                 {"items": [{"id", "subject", ...}]}
GET    /simulator/items/mime?id=        its RFC 5322 text: {"mime" (base64)}
POST   /simulator/items/move            {"id", "folder"}, answers {"id": new id}
POST   /simulator/items/delete          {"id", "disposal"?}
POST   /simulator/items/read            {"id", "is_read"}
POST   /simulator/items/categories      {"id", "categories": [name...]}
POST   /simulator/items/time-zone       {"id", "zone"}: a Windows id, also one that does not exist
POST   /simulator/folders               {"mailbox", "name", "parent"?}, answers {"id"}
POST   /simulator/folders/rename        {"id", "name"}
POST   /simulator/folders/move          {"id", "parent"}
POST   /simulator/folders/delete        {"id", "disposal"?}
POST   /simulator/faults                a fault (see faults), answers {"number"}
GET    /simulator/faults                {"faults": [{"number", "fault", "met", "used"}]}
DELETE /simulator/faults?number=        that one, or all
POST   /simulator/late                  do all that is late now, answers {"done": requests}
GET    /simulator/deliveries?message_id=     what was sent, to whom: {"deliveries":
                                        [{"message_id", "sender", "recipient", "is_outside"}]}
DELETE /simulator/deliveries            forget it
GET    /simulator/meeting-messages?uid=      requests, updates, cancellations and responses that
                                        were sent: {"messages": [{"kind", "sender", "recipient",
                                        "uid", "subject", "response", "is_outside"}]}
DELETE /simulator/meeting-messages      forget them
POST   /simulator/meeting-answers       {"mailbox" (the organizer's), "uid", "attendee",
                                        "response": "Accept", "Tentative" or "Decline"}
GET    /simulator/subscriptions         {"mailboxes": [address of each], "open_streams"}
POST   /simulator/subscriptions         {"minute_seconds"?, "lose"?, "expire"?, "cut"?}: how long
                                        their minutes last; forget all; let all expire; cut streams
POST   /simulator/outbox                {"seconds"?}: how long mail stays in Outboxes from now on;
                                        without it, all that is in one leaves at once
POST   /simulator/send-as               {"mailbox", "address"}: it may send in that one's name
POST   /simulator/expire-sync-states
POST   /simulator/options               {"strict_conflicts": bool}
GET    /simulator/statistics
DELETE /simulator/statistics            reset
"""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from syncservice.simulator.exchange.answers import ANSWERS, tell_organizer
from syncservice.simulator.exchange.attendance import appointment
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.faults import Fault
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item_reader import ZONE_PROPERTIES
from syncservice.simulator.exchange.mailbox import DISPOSALS, Mailbox
from syncservice.simulator.exchange.moments import read_moment, write_moment
from syncservice.simulator.exchange.service import Service
from syncservice.simulator.exchange.values import Address, zone_definition

Json = dict[str, Any]
Query = dict[str, str]


def answer(service: Service, method: str, path: str, query: Query, body: bytes) -> tuple[int, Json]:
    """Answer a request of the control API with a status and JSON."""
    work = ROUTES.get((method, path.rstrip("/")))
    if work is None:
        return 404, {
            "error": f"There is no {method} {path} here.",
            "routes": sorted(map(" ".join, ROUTES)),
        }
    try:
        service.catch_up()
        return 200, work(service, query, body)
    except EwsError as error:
        return 409, {"error": error.code}
    except KeyError as error:
        return 400, {"error": f"{error.args[0]} is missing."}
    except (ValueError, TypeError) as error:
        return 400, {"error": str(error)}


def add_mailboxes(service: Service, query: Query, body: bytes) -> Json:
    """Create mailboxes."""
    for one in json.loads(body)["mailboxes"]:
        service.store.add_mailbox(one["address"], one.get("password"), one.get("name") or "")
    return {}


def list_mailboxes(service: Service, query: Query, body: bytes) -> Json:
    """The addresses of all mailboxes."""
    return {"mailboxes": [one.address for one in service.store.mailboxes.values()]}


def add_service_account(service: Service, query: Query, body: bytes) -> Json:
    """Create an account that may impersonate."""
    facts = json.loads(body)
    service.store.add_service_account(facts["login"], facts["password"])
    return {}


def deliver_one(service: Service, mailbox: str, folder: str, received: str, mime: bytes) -> str:
    """Deliver one message and return its id."""
    moment = write_moment(read_moment(received)) if received else ""
    place = service.store.mailbox(mailbox)
    return service.store.deliver(place, mime, folder or "inbox", moment).id


def deliver(service: Service, query: Query, body: bytes) -> Json:
    """Deliver the body."""
    folder, received = query.get("folder", ""), query.get("received", "")
    return {"id": deliver_one(service, query["mailbox"], folder, received, body)}


def deliver_many(service: Service, query: Query, body: bytes) -> Json:
    """Deliver many messages."""
    ids = [
        deliver_one(
            service,
            one["mailbox"],
            one.get("folder") or "",
            one.get("received") or "",
            base64.b64decode(one["mime"]),
        )
        for one in json.loads(body)["messages"]
    ]
    return {"ids": ids}


def list_items(service: Service, query: Query, body: bytes) -> Json:
    """The items of a mailbox, or of one of its folders."""
    mailbox = service.store.mailbox(query["mailbox"])
    name = query.get("folder")
    folders = [mailbox.folder_named(name)] if name else list(mailbox.folders.values())
    return {"items": [fact for folder in folders for fact in facts_of(mailbox, folder)]}


def facts_of(mailbox: Mailbox, folder: Folder) -> list[Json]:
    """What the listing tells of a folder's items."""
    return [
        {
            "id": item.id,
            "change_key": item.change_key,
            "folder": folder.well_known or folder.name,
            "item_class": item.text("ItemClass"),
            "subject": item.text("Subject"),
            "is_read": item.is_set("IsRead"),
            "is_draft": item.is_set("IsDraft"),
            "message_id": item.text("InternetMessageId"),
            "categories": item.get("Categories") or (),
        }
        for item in folder.items.values()
    ]


def show_mime(service: Service, query: Query, body: bytes) -> Json:
    """An item's RFC 5322 text."""
    _, item = service.store.item(query["id"])
    return {"mime": base64.b64encode(item.mime()).decode()}


def move_item(service: Service, query: Query, body: bytes) -> Json:
    """Move an item; it gets a new id."""
    facts = json.loads(body)
    mailbox, item = service.store.item(facts["id"])
    return {"id": mailbox.move(item, mailbox.folder_named(facts["folder"])).id}


def delete_item(service: Service, query: Query, body: bytes) -> Json:
    """Delete an item."""
    facts = json.loads(body)
    mailbox, item = service.store.item(facts["id"])
    mailbox.delete(item, disposal_in(facts))
    return {}


def disposal_in(facts: Json) -> str:
    """How something is to be deleted."""
    disposal = str(facts.get("disposal") or "HardDelete")
    if disposal not in DISPOSALS:
        raise ValueError(f"disposal is one of {DISPOSALS}.")
    return disposal


def mark_read(service: Service, query: Query, body: bytes) -> Json:
    """Set an item's read flag."""
    facts = json.loads(body)
    mailbox, item = service.store.item(facts["id"])
    mailbox.set(item, {"IsRead": "true" if facts["is_read"] else "false"})
    return {"change_key": item.change_key}


def set_categories(service: Service, query: Query, body: bytes) -> Json:
    """Give an item these categories, and no others."""
    facts = json.loads(body)
    mailbox, item = service.store.item(facts["id"])
    mailbox.set(item, {"Categories": tuple(map(str, facts["categories"])) or None})
    return {"change_key": item.change_key}


def set_time_zone(service: Service, query: Query, body: bytes) -> Json:
    """Give an appointment a zone that need not exist."""
    facts = json.loads(body)
    mailbox, item = service.store.item(facts["id"])
    zones = {name: zone_definition(name, str(facts["zone"])) for name in ZONE_PROPERTIES}
    mailbox.set(item, dict(zones))
    return {"change_key": item.change_key}


def add_folder(service: Service, query: Query, body: bytes) -> Json:
    """Create a mail folder."""
    facts = json.loads(body)
    mailbox = service.store.mailbox(facts["mailbox"])
    parent = mailbox.folder_named(facts.get("parent") or "inbox")
    return {"id": mailbox.add_folder(parent, facts["name"], "IPF.Note").id}


def rename_folder(service: Service, query: Query, body: bytes) -> Json:
    """Give a folder another name."""
    facts = json.loads(body)
    mailbox, folder = service.store.folder(facts["id"])
    mailbox.rename_folder(folder, facts["name"])
    mailbox.touch_folder(folder)
    return {}


def move_folder(service: Service, query: Query, body: bytes) -> Json:
    """Put a folder below another one."""
    facts = json.loads(body)
    mailbox, folder = service.store.folder(facts["id"])
    mailbox.move_folder(folder, mailbox.folder_named(facts["parent"]))
    return {}


def delete_folder(service: Service, query: Query, body: bytes) -> Json:
    """Delete a folder with all that is in it."""
    facts = json.loads(body)
    mailbox, folder = service.store.folder(facts["id"])
    mailbox.delete_folder(folder, disposal_in(facts))
    return {}


def add_fault(service: Service, query: Query, body: bytes) -> Json:
    """Switch a fault on."""
    return {"number": service.plan.add(Fault.from_json(json.loads(body)))}


def list_faults(service: Service, query: Query, body: bytes) -> Json:
    """The faults that are on."""
    return {
        "faults": [
            {"number": number, "fault": one.fault.to_json(), "met": one.met, "used": one.used}
            for number, one in service.plan.armed.items()
        ]
    }


def remove_faults(service: Service, query: Query, body: bytes) -> Json:
    """Switch one fault off, or all."""
    number = query.get("number")
    service.plan.remove([int(number)] if number else list(service.plan.armed))
    return {}


def do_late(service: Service, query: Query, body: bytes) -> Json:
    """Do the work of requests whose clients were cut off before it."""
    return {"done": service.catch_up(with_all_late=True)}


def list_deliveries(service: Service, query: Query, body: bytes) -> Json:
    """What was sent to whom; of all messages, or of one."""
    wanted = query.get("message_id")
    found = service.store.deliveries
    return {"deliveries": [asdict(one) for one in found if not wanted or one.message_id == wanted]}


def forget_deliveries(service: Service, query: Query, body: bytes) -> Json:
    """Start counting anew."""
    service.store.deliveries.clear()
    return {}


def list_meeting_messages(service: Service, query: Query, body: bytes) -> Json:
    """Which meeting messages were sent to whom; about all meetings, or about one."""
    wanted = query.get("uid")
    found = service.store.meeting_messages
    return {"messages": [asdict(one) for one in found if not wanted or one.uid == wanted]}


def forget_meeting_messages(service: Service, query: Query, body: bytes) -> Json:
    """Start counting anew."""
    service.store.meeting_messages.clear()
    return {}


def answer_meeting(service: Service, query: Query, body: bytes) -> Json:
    """Let an attendee who has no mailbox here answer."""
    facts = json.loads(body)
    kinds = {response: kind for kind, (response, *_) in ANSWERS.items()}
    if facts["response"] not in kinds:
        raise ValueError(f"response is one of {tuple(kinds)}.")
    item = appointment(service.store.mailbox(facts["mailbox"]), facts["uid"])
    if item is None:
        raise EwsError("ErrorItemNotFound")
    sender = Address("", facts["attendee"])
    tell_organizer(service.store, sender, item, kinds[facts["response"]])
    return {}


def list_subscriptions(service: Service, query: Query, body: bytes) -> Json:
    """Who has subscribed, and how many streams are open."""
    found = service.store.subscriptions
    addresses = [one.mailbox.address for one in found.by_id.values()]
    return {"mailboxes": addresses, "open_streams": len(found.streams)}


def disturb_subscriptions(service: Service, query: Query, body: bytes) -> Json:
    """Let subscriptions and streams end before their time."""
    facts, found = json.loads(body), service.store.subscriptions
    found.minute = float(facts.get("minute_seconds", found.minute))
    if facts.get("lose"):
        found.lose()
    for one in found.by_id.values():
        one.is_expired = one.is_expired or bool(facts.get("expire"))
    for stream in found.streams:
        stream.is_cut = stream.is_cut or bool(facts.get("cut"))
    found.wake_streams()
    return {}


def set_outbox(service: Service, query: Query, body: bytes) -> Json:
    """Say how long mail stays in an Outbox, or let all of it out."""
    facts = json.loads(body)
    if "seconds" in facts:
        service.store.outbox_seconds = float(facts["seconds"])
    else:
        service.store.carry_mail(at_once=True)
    return {}


def allow_send_as(service: Service, query: Query, body: bytes) -> Json:
    """Let a mailbox send in the name of another address."""
    facts = json.loads(body)
    own = service.store.mailbox(facts["mailbox"]).address
    service.store.may_send_as.add((own.lower(), facts["address"].lower()))
    return {}


def expire_sync_states(service: Service, query: Query, body: bytes) -> Json:
    """Refuse every sync state handed out so far."""
    service.store.sync_epoch += 1
    return {}


def set_options(service: Service, query: Query, body: bytes) -> Json:
    """Change how the server behaves."""
    service.store.strict_conflicts = bool(json.loads(body)["strict_conflicts"])
    return {}


def statistics(service: Service, query: Query, body: bytes) -> Json:
    """The counters."""
    return service.statistics.to_json()


def reset_statistics(service: Service, query: Query, body: bytes) -> Json:
    """Start counting anew."""
    service.statistics.reset()
    return {}


def routes(service: Service, query: Query, body: bytes) -> Json:
    """What can be done."""
    return {"simulator": "Exchange", "routes": sorted(map(" ".join, ROUTES))}


ROUTES: dict[tuple[str, str], Callable[[Service, Query, bytes], Json]] = {
    ("GET", "/simulator"): routes,
    ("POST", "/simulator/mailboxes"): add_mailboxes,
    ("GET", "/simulator/mailboxes"): list_mailboxes,
    ("POST", "/simulator/service-accounts"): add_service_account,
    ("POST", "/simulator/deliver"): deliver,
    ("POST", "/simulator/deliver-many"): deliver_many,
    ("GET", "/simulator/items"): list_items,
    ("GET", "/simulator/items/mime"): show_mime,
    ("POST", "/simulator/items/move"): move_item,
    ("POST", "/simulator/items/delete"): delete_item,
    ("POST", "/simulator/items/read"): mark_read,
    ("POST", "/simulator/items/categories"): set_categories,
    ("POST", "/simulator/items/time-zone"): set_time_zone,
    ("POST", "/simulator/folders"): add_folder,
    ("POST", "/simulator/folders/rename"): rename_folder,
    ("POST", "/simulator/folders/move"): move_folder,
    ("POST", "/simulator/folders/delete"): delete_folder,
    ("POST", "/simulator/faults"): add_fault,
    ("GET", "/simulator/faults"): list_faults,
    ("DELETE", "/simulator/faults"): remove_faults,
    ("POST", "/simulator/late"): do_late,
    ("GET", "/simulator/deliveries"): list_deliveries,
    ("DELETE", "/simulator/deliveries"): forget_deliveries,
    ("GET", "/simulator/meeting-messages"): list_meeting_messages,
    ("DELETE", "/simulator/meeting-messages"): forget_meeting_messages,
    ("POST", "/simulator/meeting-answers"): answer_meeting,
    ("GET", "/simulator/subscriptions"): list_subscriptions,
    ("POST", "/simulator/subscriptions"): disturb_subscriptions,
    ("POST", "/simulator/outbox"): set_outbox,
    ("POST", "/simulator/send-as"): allow_send_as,
    ("POST", "/simulator/expire-sync-states"): expire_sync_states,
    ("POST", "/simulator/options"): set_options,
    ("GET", "/simulator/statistics"): statistics,
    ("DELETE", "/simulator/statistics"): reset_statistics,
}
