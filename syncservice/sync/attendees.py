"""The people of an appointment, as values and as parties that stand for records (2J, 3H)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from syncservice.crm.models import Appointment, AppointmentParty, User
from syncservice.domain.item_values import Value, Values
from syncservice.domain.resolution import Match, sender_of
from syncservice.mailboxes.models import Organisation
from syncservice.sync import directory

Participation = AppointmentParty.Participation
_LISTS = {"required": Participation.REQUIRED, "optional": Participation.OPTIONAL}
#: The values that are made of parties.
NAMES = frozenset({"organizer", "responses", *_LISTS})
_RECORDS = ("user", "queue", "account", "contact", "lead")
PREFETCHED = ("parties", *(f"parties__{kind}" for kind in _RECORDS))


class Addresses:
    """Whose addresses are; each is looked up once."""

    def __init__(self) -> None:
        self._known: dict[str, Match | None] = {}

    def prepare(self, addresses: Iterable[str]) -> None:
        """Look up many at once: one record each, as of a sender (3H)."""
        new = {address.lower() for address in addresses} - self._known.keys()
        if not new:
            return
        found = directory.look_up(new)
        several = Organisation.current().unresolves_several_senders
        for address in new:
            matches = found.get(address, [])
            self._known[address] = sender_of(matches, unresolves_several=several)

    def columns_of(self, address: str) -> dict[str, int]:
        """Return the column of the record that has a prepared address; none: nobody has it."""
        match = self._known[address.lower()]
        return {f"{match.kind}_id": match.id} if match else {}


def of(values: Values) -> Iterator[str]:
    """Return the addresses that values name."""
    people = [person for name in _LISTS for person in values.get(name, ())]
    if values.get("organizer"):
        people.append(values["organizer"])
    for person in people:
        yield person["address"]


def values_of(record: Appointment) -> dict[str, Value]:
    """Return the values of an appointment's parties; who has no address is in none of them."""
    found: dict[str, Value] = {"organizer": None, "required": [], "optional": []}
    responses = {}
    parties = list(record.parties.all())
    organizer = _organizer(parties)
    if organizer is not None and _address(organizer):
        found["organizer"] = {"address": _address(organizer), "name": _name(organizer)}
    for address, party in sorted(_attendees(parties).items()):
        place = "required" if party.participation == Participation.REQUIRED else "optional"
        found[place].append({"address": address, "name": _name(party)})
        responses[address] = party.response
    return {**found, "responses": responses}


def create(records: Sequence[Appointment], values: Sequence[Values], addresses: Addresses) -> None:
    """Give new appointments their parties; the addresses are prepared."""
    parties: list[AppointmentParty] = []
    for record, said in zip(records, values, strict=True):
        responses = said.get("responses", {})
        if said.get("organizer"):
            parties.append(_party(record, Participation.ORGANIZER, said["organizer"], addresses))
        for name, participation in _LISTS.items():
            for person in said.get(name, ()):
                party = _party(record, participation, person, addresses)
                party.response = responses.get(person["address"], party.response)
                parties.append(party)
    AppointmentParty.objects.bulk_create(parties)


def write(record: Appointment, values: Values, addresses: Addresses) -> None:
    """Write some values; who has no address stays, for Exchange knows nothing of them."""
    addresses.prepare(of(values))
    parties = list(record.parties.all())
    gone: list[AppointmentParty] = []
    new: list[AppointmentParty] = []
    if "organizer" in values:
        before, now = _organizer(parties), values["organizer"]
        own = _address(before) if before is not None else ""
        address = now["address"].lower() if now else ""
        if address != own:
            gone += [before] if before is not None else []
            new += [_party(record, Participation.ORGANIZER, now, addresses)] if now else []
    there = _attendees([party for party in parties if party not in gone])
    wanted = _wanted(there, values)
    responses = values.get("responses")
    for address, party in there.items():
        if address not in wanted:
            gone.append(party)
            continue
        participation, _ = wanted.pop(address)
        response = party.response if responses is None else responses.get(address, "none")
        if (participation, response) != (party.participation, party.response):
            party.participation, party.response = participation, response
            party.save(update_fields=["participation", "response"])
    for address, (participation, person) in wanted.items():
        party = _party(record, participation, person, addresses)
        party.response = (responses or {}).get(address, party.response)
        new.append(party)
    if gone:
        AppointmentParty.objects.filter(pk__in=[party.pk for party in gone]).delete()
    AppointmentParty.objects.bulk_create(new)


def _wanted(
    there: dict[str, AppointmentParty], values: Values
) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return who is to take part and how, by address; a list that isn't given stays as it is."""
    wanted: dict[str, tuple[int, dict[str, Any]]] = {
        address: (party.participation, {})
        for address, party in there.items()
        if Participation(party.participation).name.lower() not in values
    }
    for name in ("optional", "required"):  # who is in both, is required
        for person in values.get(name, ()):
            wanted[person["address"].lower()] = (_LISTS[name], person)
    return wanted


def _attendees(parties: Iterable[AppointmentParty]) -> dict[str, AppointmentParty]:
    """Return the attendees by address; the organizer takes part without being one of them."""
    parties = list(parties)
    organizer = _organizer(parties)
    own = _address(organizer) if organizer is not None else ""
    found: dict[str, AppointmentParty] = {}
    for party in sorted(parties, key=lambda party: (party.participation, party.pk)):
        address = _address(party)
        if party.participation in _LISTS.values() and address and address != own:
            found.setdefault(address, party)
    return found


def organizer_of(record: Appointment) -> AppointmentParty | None:
    return _organizer(record.parties.all())


def _organizer(parties: Iterable[AppointmentParty]) -> AppointmentParty | None:
    return next((one for one in parties if one.participation == Participation.ORGANIZER), None)


def _party(
    record: Appointment, participation: int, person: dict[str, Any], addresses: Addresses
) -> AppointmentParty:
    return AppointmentParty(
        appointment=record,
        participation=participation,
        address=person["address"],
        name=person.get("name", ""),
        **addresses.columns_of(person["address"]),
    )


def _record(party: AppointmentParty) -> Any:
    return party.user or party.queue or party.account or party.contact or party.lead


def _address(party: AppointmentParty) -> str:
    record = _record(party)
    address = party.address
    if not address and record is not None:
        address = record.email if isinstance(record, User) else record.email_address
    return address.strip().lower()


def _name(party: AppointmentParty) -> str:
    record = _record(party)
    if party.name or record is None:
        return party.name.strip()
    return record.get_full_name() if isinstance(record, User) else str(record)
