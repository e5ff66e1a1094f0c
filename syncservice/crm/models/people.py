"""The people, companies and queues of an organisation."""

from typing import Any, Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.functions import RandomUUID
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from syncservice.domain.time_zones import is_known


class KnowsStoredAddress(models.Model):
    """Remembers the address as it was read, so that a change can be told from a mere save."""

    ADDRESS = "email_address"
    stored_address: str | None = None  # None: not read from the database

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, **options: Any) -> Self:
        instance = super().from_db(db, field_names, values, **options)
        instance.stored_address = instance.__dict__.get(cls.ADDRESS)
        return instance


class IncomingFilter(models.IntegerChoices):
    """Which incoming email of a user or a queue becomes a record (F100)."""

    ALL = 0, _("all email")
    IN_RESPONSE = 1, _("email in response to email of the CRM")
    FROM_PEOPLE = 2, _("email from leads, contacts and accounts")
    FROM_RECORDS = 3, _("email from any record that has an address")
    NONE = 4, _("no email")


class AutomaticRecord(models.IntegerChoices):
    """What an unknown sender of a user's email becomes (F118)."""

    NOTHING = 0, _("nothing")
    CONTACT = 1, _("a contact")
    LEAD = 2, _("a lead")


def known_time_zone(name: str) -> None:
    """Refuse a time zone that has no clock here."""
    if not is_known(name):
        raise ValidationError(_("Write a time zone as “Europe/Amsterdam”."))


class User(AbstractUser, KnowsStoredAddress):
    """A CRM user; the reference's system user."""

    ADDRESS = "email"

    incoming_filter = models.SmallIntegerField(
        _("track"), choices=IncomingFilter, default=IncomingFilter.IN_RESPONSE
    )
    automatic_record = models.SmallIntegerField(
        _("an unknown sender becomes"), choices=AutomaticRecord, default=AutomaticRecord.NOTHING
    )

    #: Where new email of this user waits as well, if the organisation says so (F131).
    default_queue = models.ForeignKey(
        "Queue",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("default queue"),
    )

    #: IANA name; dates of tasks are this user's days. '': nobody said.
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[known_time_zone]
    )
    #: A contact's company is its account's name, whatever else the record has (F194).
    company_from_account = models.BooleanField(
        _("the company of a contact is its account"), default=False
    )

    #: Others may write in this user's name (F167).
    lets_others_send = models.BooleanField(_("others may send on my behalf"), default=False)
    #: The number in tracking tokens (3D); null: none was needed yet.
    token_number = models.PositiveIntegerField(null=True, editable=False, unique=True)
    token_count = models.PositiveBigIntegerField(default=0, editable=False)  # tokens given

    class Meta(AbstractUser.Meta):
        indexes = [models.Index(Upper("email"), name="users_by_address")]  # as `iexact` compares


class EmailEnabled(models.Model):
    """A record that mail can be sent to; the reference gives it up to three addresses."""

    email_address = models.EmailField(_("email address"), max_length=254, blank=True)
    email_address2 = models.EmailField(_("second email address"), max_length=254, blank=True)
    email_address3 = models.EmailField(_("third email address"), max_length=254, blank=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


def indexes_of_addresses(name: str) -> list[models.Index]:
    """Index each of a record's addresses, as `iexact` compares."""
    fields = ("email_address", "email_address2", "email_address3")
    return [models.Index(Upper(field), name=f"{name}_by_{field}") for field in fields]


class Account(EmailEnabled):
    """A company."""

    name = models.CharField(_("name"), max_length=160)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        indexes = indexes_of_addresses("accounts")

    def __str__(self) -> str:
        return self.name


class PersonalName(models.Model):
    first_name = models.CharField(_("first name"), max_length=50, blank=True)
    last_name = models.CharField(_("last name"), max_length=50)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


def _text(name: Any) -> "models.CharField[str, str]":
    """Make a column for a line of text, as long as Exchange keeps one."""
    return models.CharField(name, max_length=255, blank=True)


def _area(name: Any) -> "models.CharField[str, str]":
    return models.CharField(name, max_length=100, blank=True)


class FoldedName(models.Func):
    """A name without case, accents and blanks that are too many, as `domain.likeness` folds it."""

    function = "crm_folded_name"  # of the first, the middle and the last name
    arity = 3
    output_field = models.TextField()


class Contact(PersonalName, EmailEnabled):
    """A person, perhaps of an account; with what Exchange's contacts have as well (3F)."""

    #: Names the record in links: a number alone may be an account's or a lead's.
    key = models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True)
    #: What somebody wrote; `account` may say otherwise (F194).
    company_name = _text(_("company"))
    middle_name = models.CharField(_("middle name"), max_length=50, blank=True)
    nickname = _text(_("nickname"))
    yomi_first_name = _text(_("first name as it sounds"))
    yomi_last_name = _text(_("last name as it sounds"))

    job_title = _text(_("job title"))
    department = _text(_("department"))
    manager = _text(_("manager"))
    assistant = _text(_("assistant"))
    assistant_phone = _text(_("assistant's phone"))
    government_id = _text(_("government id"))

    business_phone = _text(_("business phone"))
    business_phone2 = _text(_("second business phone"))
    home_phone = _text(_("home phone"))
    home_phone2 = _text(_("second home phone"))
    mobile_phone = _text(_("mobile phone"))
    company_phone = _text(_("company's phone"))
    callback_phone = _text(_("callback number"))
    other_phone = _text(_("other phone"))
    pager = _text(_("pager"))
    fax = _text(_("fax"))

    web_site = _text(_("website"))
    ftp_site = _text(_("FTP site"))
    birthday = models.DateField(_("birthday"), null=True, blank=True)
    anniversary = models.DateField(_("anniversary"), null=True, blank=True)
    spouse = _text(_("spouse or partner"))
    children = _text(_("children's names"))
    description = models.TextField(_("description"), blank=True)

    #: The business or mailing address, home, and another (F192).
    address1_street = _text(_("street"))
    address1_city = _area(_("city"))
    address1_state = _area(_("state or province"))
    address1_postal_code = _area(_("postal code"))
    address1_country = _area(_("country"))
    address2_street = _text(_("street at home"))
    address2_city = _area(_("city at home"))
    address2_state = _area(_("state or province at home"))
    address2_postal_code = _area(_("postal code at home"))
    address2_country = _area(_("country at home"))
    address3_street = _text(_("street elsewhere"))
    address3_city = _area(_("city elsewhere"))
    address3_state = _area(_("state or province elsewhere"))
    address3_postal_code = _area(_("postal code elsewhere"))
    address3_country = _area(_("country elsewhere"))

    changed_at = models.DateTimeField(db_default=Now(), editable=False)  # by a trigger

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [
            *indexes_of_addresses("contacts"),
            models.Index(
                FoldedName("first_name", "middle_name", "last_name"), name="contacts_by_name"
            ),
        ]


class Lead(PersonalName, EmailEnabled):
    """Somebody who may become a customer."""

    company_name = models.CharField(_("company"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("lead")
        verbose_name_plural = _("leads")
        indexes = indexes_of_addresses("leads")


class Queue(KnowsStoredAddress):
    """A shared place for work; a CRM queue, not one of Celery's."""

    name = models.CharField(_("name"), max_length=200)
    email_address = models.EmailField(_("email address"), max_length=254, blank=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    incoming_filter = models.SmallIntegerField(
        _("convert into activities"), choices=IncomingFilter, default=IncomingFilter.ALL
    )

    class Meta:
        db_table = "crm_queue"
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        indexes = [models.Index(Upper("email_address"), name="queues_by_address")]

    def __str__(self) -> str:
        return self.name
