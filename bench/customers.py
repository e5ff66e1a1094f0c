"""The contacts and appointments of `bench.items`, in the CRM and in a mailbox; and its peers."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bench.incoming_exchange import PASSWORD, timed

ADDRESS, PEER = "user@example.test", "peer@example.test"
_AT_ONCE = 500
_FIRST = ("Anna", "Bob", "Carla", "Dmitri", "Elif", "Femke", "Gus", "Hanna", "Ivo", "Jana")
_LAST = ("Adams", "Bakker", "Costa", "Dorn", "Evers", "Fischer", "Garcia", "Haas", "Ito", "Jansen")
#: Of so many appointments one has attendees.
_MEETINGS = 5


def fill_crm(contacts: int, appointments: int, seed: int) -> None:
    """Give the user of ADDRESS contacts, and appointments of the year before and those after."""
    from syncservice.crm.models import Contact, User

    chance, owner = random.Random(seed), User.objects.get(email=ADDRESS)
    for numbers in _runs(contacts):
        Contact.objects.bulk_create(
            Contact(owner=owner, **_customer(number, chance)) for number in numbers
        )
    for numbers in _runs(appointments):
        _make_appointments(owner, numbers, contacts, chance)


def _runs(count: int) -> Iterator[range]:
    for start in range(0, count, _AT_ONCE):
        yield range(start, min(start + _AT_ONCE, count))


def _customer(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "first_name": chance.choice(_FIRST),
        "last_name": f"{chance.choice(_LAST)} {number}",
        "email_address": f"customer{number}@contoso.test",
        "company_name": f"Contoso {number % 97}",
        "job_title": chance.choice(("Buyer", "Engineer", "Director")),
        "business_phone": f"+31 20 {chance.randrange(10**7):07}",
        "mobile_phone": f"+31 6 {chance.randrange(10**8):08}",
        "address1_street": f"Keizersgracht {chance.randrange(1, 900)}",
        "address1_city": "Amsterdam",
        "address1_postal_code": f"{chance.randrange(1000, 1110)} AB",
        "birthday": date(1950, 1, 1) + timedelta(days=chance.randrange(18_000)),
        "description": "Met at the fair; asks for a quote every spring.\n" * chance.randrange(4),
    }


def _make_appointments(owner, numbers: range, contacts: int, chance: random.Random) -> None:
    from syncservice.crm.models import Appointment, AppointmentParty

    roles = AppointmentParty.Participation
    begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=365)
    made = Appointment.objects.bulk_create(
        Appointment(
            owner=owner,
            subject=f"Visit {number}",
            location=chance.choice(("Amsterdam", "Utrecht", "")),
            description="Bring the catalogue and the samples.\n" * chance.randrange(4),
            starts_at=begins + timedelta(hours=number * 4),
            ends_at=begins + timedelta(hours=number * 4 + 1),
            time_zone="Europe/Berlin",
        )
        for number in numbers
    )
    AppointmentParty.objects.bulk_create(
        AppointmentParty(
            appointment=one, participation=roles.ORGANIZER, user=owner, address=ADDRESS
        )
        for one in made
    )
    AppointmentParty.objects.bulk_create(
        AppointmentParty(
            appointment=one,
            participation=roles.REQUIRED,
            address=f"customer{chance.randrange(max(contacts, 1))}@contoso.test",
        )
        for one in made[::_MEETINGS]
        for _ in range(2)
    )


def change_items(url: str, ids: list[str], field: str) -> None:
    """Change a field of items as their owner does, by another client."""
    from exchangelib.items import SEND_TO_NONE
    from exchangelib.properties import ItemId

    mailbox = _account(url, ADDRESS)
    items = list(mailbox.fetch([ItemId(id=one) for one in ids]))
    for item in items:
        setattr(item, field, "Changed there")
    mailbox.bulk_update(
        [(item, (field,)) for item in items],
        send_meeting_invitations_or_cancellations=SEND_TO_NONE,
    )


def peers(url: str, contacts: int, seed: int) -> dict[str, float]:
    """Return the contacts a second of exchangelib's own ways to write and to read them."""
    chance, mailbox = random.Random(seed), _account(url, PEER)
    items = [_item(_customer(number, chance), mailbox) for number in range(contacts)]

    def read() -> None:
        for contact in mailbox.contacts.all():
            _ = (contact.given_name, contact.email_addresses, contact.body)

    def rate(work: Callable[[], object]) -> float:
        return round(contacts / timed(work), 1)

    create = rate(lambda: mailbox.bulk_create(mailbox.contacts, items))
    return {"create": create, "read": rate(read)}


def _item(one: dict[str, Any], mailbox):
    from exchangelib import Contact
    from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress

    address = {"street": "street", "city": "city", "zipcode": "postal_code"}
    phones = {"BusinessPhone": "business_phone", "MobilePhone": "mobile_phone"}
    return Contact(
        account=mailbox,
        folder=mailbox.contacts,
        display_name=f"{one['first_name']} {one['last_name']}",
        given_name=one["first_name"],
        surname=one["last_name"],
        company_name=one["company_name"],
        job_title=one["job_title"],
        email_addresses=[EmailAddress(label="EmailAddress1", email=one["email_address"])],
        phone_numbers=[
            PhoneNumber(label=label, phone_number=one[name]) for label, name in phones.items()
        ],
        physical_addresses=[
            PhysicalAddress(
                label="Business",
                **{part: one[f"address1_{name}"] for part, name in address.items()},
            )
        ],
        birthday=one["birthday"],
        body=one["description"],
    )


def _account(url: str, address: str):
    from exchangelib import IMPERSONATION, UTC, Account, Build, Configuration, Credentials, Version

    config = Configuration(
        service_endpoint=f"{url}/EWS/Exchange.asmx",
        credentials=Credentials("svc", PASSWORD),
        auth_type="basic",
        version=Version(Build(15, 1, 2507, 6)),
    )
    return Account(address, config=config, access_type=IMPERSONATION, default_timezone=UTC)
