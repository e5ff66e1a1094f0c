"""Appointments and service activities, who takes part in them, and their files (REFERENCE 2K)."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.crm.ids import activity_id
from syncservice.crm.models.activity import (
    Party,
    Priority,
    Regarding,
    one_record_at_most,
    unresolved,
)
from syncservice.crm.models.email import AttachmentContent
from syncservice.crm.models.people import User
from syncservice.domain.activity_states import APPOINTMENT_STATUSES


class Appointment(Regarding):
    """A meeting or a time that is set aside; a whole series is one record."""

    class Kind(models.TextChoices):
        APPOINTMENT = "appointment", _("appointment")
        SERVICE_ACTIVITY = "service_activity", _("service activity")

    class State(models.IntegerChoices):
        OPEN = 0, _("open")
        COMPLETED = 1, _("completed")
        CANCELED = 2, _("canceled")
        SCHEDULED = 3, _("scheduled")

    class Status(models.IntegerChoices):
        FREE = 1, _("free")
        TENTATIVE = 2, _("tentative")
        COMPLETED = 3, _("completed")
        CANCELED = 4, _("canceled")
        BUSY = 5, _("busy")
        OUT_OF_OFFICE = 6, _("out of office")

    id = models.UUIDField(primary_key=True, default=activity_id, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.APPOINTMENT)
    # Exchange cuts what is longer, and would then seem to have changed it.
    subject = models.CharField(_("subject"), max_length=255, blank=True)
    location = models.CharField(_("location"), max_length=255, blank=True)
    description = models.TextField(_("description"), blank=True)
    #: Of a series: its first occurrence. All-day: midnights of its time zone.
    starts_at = models.DateTimeField(_("start"))
    ends_at = models.DateTimeField(_("end"))
    is_all_day = models.BooleanField(_("all day"), default=False)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)  # IANA; '': unknown
    #: Minutes before the start; null: nobody is reminded. Only ever told to Exchange.
    reminder_minutes = models.PositiveIntegerField(
        _("reminder, in minutes before the start"), null=True, blank=True, default=15
    )
    priority = models.SmallIntegerField(_("priority"), choices=Priority, default=Priority.NORMAL)
    status = models.SmallIntegerField(_("status"), choices=Status, default=Status.BUSY)
    #: Kept from Exchange until somebody sends it (F209).
    is_draft = models.BooleanField(_("draft"), default=False)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    #: Exchange's global object id, the same in all mailboxes that have the meeting; '': in none.
    uid = models.CharField(max_length=2048, blank=True, editable=False)
    #: As `domain.recurrence` writes it; null: it happens once.
    recurrence = models.JSONField(null=True, blank=True, editable=False)
    #: What differs from the series, by the local date that the series has it on: the values of
    #: `domain.item_values` for occurrences.
    occurrences = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)  # by a trigger

    class Meta:
        verbose_name = _("appointment")
        verbose_name_plural = _("appointments")
        constraints = [
            models.UniqueConstraint(
                "uid", condition=~models.Q(uid=""), name="one_appointment_a_uid"
            ),
            models.CheckConstraint(
                condition=models.Q(ends_at__gte=models.F("starts_at")),
                name="appointment_ends_after_start",
                violation_error_message=_("An appointment can't end before it starts."),
            ),
        ]
        indexes = [
            models.Index("owner", "status", name="appointments_of_an_owner"),
            models.Index("starts_at", name="appointments_by_start"),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def state(self) -> State:
        """The state that the status belongs to (2K)."""
        return self.State[APPOINTMENT_STATUSES[self.status].state.name]


class AppointmentParty(Party):
    """Somebody's part in an appointment; without an address, the record's is meant."""

    class Participation(models.IntegerChoices):
        REQUIRED = 5, _("required attendee")
        OPTIONAL = 6, _("optional attendee")
        ORGANIZER = 7, _("organizer")
        RESOURCE = 10, _("resource")

    class Response(models.TextChoices):
        NONE = "none", _("none")
        TENTATIVE = "tentative", _("tentative")
        ACCEPTED = "accepted", _("accepted")
        DECLINED = "declined", _("declined")

    appointment = models.ForeignKey(Appointment, models.CASCADE, related_name="parties")
    participation = models.SmallIntegerField(_("participation"), choices=Participation)
    response = models.CharField(
        _("response"), max_length=10, choices=Response, default=Response.NONE
    )

    class Meta:
        verbose_name = _("party of an appointment")
        verbose_name_plural = _("parties of appointments")
        constraints = [
            one_record_at_most("attendee_is_one_record_at_most"),
            models.UniqueConstraint(
                "appointment",
                condition=models.Q(participation=7),
                name="one_organizer_an_appointment",
                violation_error_message=_("An appointment has one organizer."),
            ),
        ]
        indexes = [unresolved("unresolved_attendees")]


class AppointmentAttachment(models.Model):
    """A file of an appointment (F191)."""

    appointment = models.ForeignKey(Appointment, models.CASCADE, related_name="attachments")
    body = models.ForeignKey(AttachmentContent, models.PROTECT)
    filename = models.TextField(_("file name"))
    content_type = models.TextField(_("content type"), default="application/octet-stream")
    size = models.PositiveBigIntegerField(_("size"))  # bytes

    class Meta:
        verbose_name = _("attachment of an appointment")
        verbose_name_plural = _("attachments of appointments")

    def __str__(self) -> str:
        return self.filename
