"""What Exchange answers: statuses of HTTP, and the response codes of EWS."""

from dataclasses import replace

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import ASK_SERVER, PAUSED, RETRIED, Entry

ANY = Entry(
    meaning=_("The Exchange server answered with an error."),
    cause=_("The code is the server's own; the details of the alert give its words."),
    remedy=_(
        "It is tried again by itself when time may help. If it lasts, look the code up in the "
        "documentation of Exchange Web Services, or ask the server's administrator."
    ),
)

_REDIRECTS = Entry(
    meaning=_("The server location leads on to another address."),
    cause=_(
        "The server has moved, or a login page for people answers instead of Exchange Web Services."
    ),
    remedy=_(
        "Enter the new address as the server location in the server profile. A login page must not "
        "stand in front of Exchange Web Services."
    ),
)

HTTP = {
    **{f"exchange.http_{status}": _REDIRECTS for status in (301, 302, 303, 307, 308)},
    "exchange.http_401": Entry(
        name="Http server returned 401 Unauthorized",
        meaning=_("The mail server refuses the user name or the password."),
        cause=_(
            "The password was changed or mistyped, the account is locked or may not log in this "
            "way, or the user was removed and created anew."
        ),
        remedy=_(
            "Enter the right user name and password, then test and enable the mailbox. A user who "
            "was created anew may be refused for up to three days, until the server has forgotten "
            "the old one."
        ),
        reference="A07, A08, A09, A10, A11",
    ),
    "exchange.http_403": Entry(
        name="Http server returned Forbidden",
        meaning=_("The mail server does not let this account use Exchange Web Services."),
        cause=_("A rule of the server admits only certain accounts or programs."),
        remedy=_(
            "Allow the account to use Exchange Web Services on the server, then test and enable "
            "the mailbox."
        ),
        reference="A43",
    ),
    "exchange.http_404": Entry(
        meaning=_("There are no Exchange Web Services at the server location."),
        cause=_(
            "The server location is not quite right, or the server does not offer Exchange Web "
            "Services there."
        ),
        remedy=_(
            "Correct the server location in the server profile: it usually ends with "
            "/EWS/Exchange.asmx. Synchronization then goes on by itself."
        ),
    ),
    "exchange.http_405": Entry(
        meaning=_("What answers at the server location does not take our requests."),
        cause=_("The server location is that of another page or program on the server."),
        remedy=_(
            "Correct the server location in the server profile: it usually ends with "
            "/EWS/Exchange.asmx. Synchronization then goes on by itself."
        ),
    ),
    "exchange.http_429": Entry(
        meaning=_("The mail server asks for fewer requests."),
        cause=_("It was asked for more in a short time than it allows."),
        remedy=PAUSED,
    ),
    "exchange.http_500": Entry(
        meaning=_("The mail server met an error of its own."),
        cause=_("Something failed on the server; it does not say what."),
        remedy=ASK_SERVER,
    ),
    "exchange.http_502": Entry(
        meaning=_("What stands in front of the mail server got no proper answer from it."),
        cause=_("The server behind a load balancer or proxy is being restarted, or has failed."),
        remedy=ASK_SERVER,
    ),
    "exchange.http_503": Entry(
        name="Http server returned ServiceUnavailable",
        meaning=_("The mail server is not available for the moment."),
        cause=_("It is busy, being restarted or under maintenance."),
        remedy=ASK_SERVER,
        reference="A16",
    ),
    "exchange.http_504": Entry(
        meaning=_("What stands in front of the mail server waited too long for it."),
        cause=_("The server behind a load balancer or proxy is overloaded, or has failed."),
        remedy=ASK_SERVER,
    ),
    "exchange.not_ews": Entry(
        meaning=_("What answers at the server location is not Exchange Web Services."),
        cause=_("A proxy, a login page or another program answers in their place."),
        remedy=_(
            "Check the server location in the server profile, and what stands in front of the "
            "server."
        ),
    ),
    "exchange.unreadable_answer": Entry(
        meaning=_("The mail server's answer cannot be understood."),
        cause=_("It is incomplete, or has not the form that Exchange Web Services give it."),
        remedy=ASK_SERVER,
    ),
}

_BUSY = Entry(
    name="ErrorServerBusy",
    meaning=_("The mail server is busy and asks us to come back later."),
    cause=_("The account or the server was asked for more in a short time than is allowed."),
    remedy=PAUSED,
)
_MAY_NOT_IMPERSONATE = Entry(
    name="ErrorImpersonateUserDenied",
    meaning=_("The account of the server profile may not act on behalf of this mailbox's user."),
    cause=_(
        "On the server, it lacks the role ApplicationImpersonation, or the role does not extend to "
        "this mailbox."
    ),
    remedy=_(
        "Give the account the role ApplicationImpersonation for this mailbox, then test and enable "
        "the mailbox."
    ),
    reference="A41",
)
_PASSWORD_EXPIRED = Entry(
    name="ErrorPasswordExpired",
    meaning=_("The password of the account has expired."),
    cause=_("The server lets nobody in with it until it has been changed."),
    remedy=_(
        "Change the password on the server and enter the new one here, then test and enable the "
        "mailbox."
    ),
)
_STORE_AWAY = Entry(
    name="ErrorMailboxStoreUnavailable",
    meaning=_("The mailbox's storage on the server is not available."),
    cause=_("The database that holds the mailbox is offline, or another copy is taking over."),
    remedy=ASK_SERVER,
)
_OVERLOADED = Entry(
    name="ErrorInsufficientResources",
    meaning=_("The mail server has too little room or memory for its work."),
    cause=_("The server is overloaded, or one of its disks is full."),
    remedy=ASK_SERVER,
)
_FOLDER_GONE = Entry(
    name="ErrorFolderNotFound",
    meaning=_("A folder of the mailbox is not where it was."),
    cause=_("It was deleted or moved, or the mailbox was moved or restored on the server."),
    remedy=_(
        "Nothing needs to be done: the mailbox is listed anew. If it lasts, check that the folder "
        "is still there."
    ),
)

RESPONSE_CODES = {
    "exchange.server_busy": _BUSY,
    "exchange.exceeded_connection_count": replace(
        _BUSY,
        name="ErrorExceededConnectionCount",
        meaning=_("The account has more connections to the mail server than it allows."),
        cause=_("Another program uses the same account, or the server profile allows too many."),
    ),
    "exchange.exceeded_subscription_count": replace(
        _BUSY,
        name="ErrorExceededSubscriptionCount",
        meaning=_("The account asks the mail server for news of more mailboxes than it allows."),
        cause=_("Another program uses the same account, or the server's limit is low."),
    ),
    "exchange.exceeded_find_count_limit": replace(_BUSY, name="ErrorExceededFindCountLimit"),
    "exchange.too_many_objects_opened": replace(_BUSY, name="ErrorTooManyObjectsOpened"),
    "exchange.submission_quota_exceeded": Entry(
        name="ErrorSubmissionQuotaExceeded",
        meaning=_("The mailbox has sent as much email as the server allows for now."),
        cause=_("The server limits how many messages or recipients a mailbox may have in a time."),
        remedy=_(
            "Nothing needs to be done: the email waits and is sent later. If it happens often, "
            "raise the limit on the server."
        ),
        reference="A38",
    ),
    "exchange.quota_exceeded": Entry(
        name="ErrorQuotaExceeded",
        meaning=_("The mailbox is full."),
        cause=_("It has used all the storage that the server grants it."),
        remedy=_(
            "Delete or archive mail, or grant the mailbox more storage on the server. Email to be "
            "sent waits until then."
        ),
        reference="A38",
    ),
    "exchange.access_denied": Entry(
        name="ErrorAccessDenied",
        meaning=_("The account may not open this mailbox."),
        cause=_("On the server, it has no right to this mailbox or to one of its folders."),
        remedy=_(
            "Give the account full access to the mailbox on the server, then test and enable the "
            "mailbox."
        ),
    ),
    "exchange.impersonate_user_denied": _MAY_NOT_IMPERSONATE,
    "exchange.impersonation_denied": replace(_MAY_NOT_IMPERSONATE, name="ErrorImpersonationDenied"),
    "exchange.impersonation_failed": Entry(
        name="ErrorImpersonationFailed",
        meaning=_("Acting on behalf of this mailbox's user did not work."),
        cause=_(
            "The server finds no user by the mailbox's address, or the user is disabled there."
        ),
        remedy=_(
            "Check the mailbox's address, and that its user is active on the server. Then test and "
            "enable the mailbox."
        ),
    ),
    "exchange.account_disabled": Entry(
        name="ErrorAccountDisabled",
        meaning=_("The account is disabled on the server."),
        cause=_("An administrator of the server has disabled it, or a rule did."),
        remedy=_(
            "Enable the account on the server or enter another one, then test and enable the "
            "mailbox."
        ),
    ),
    "exchange.password_expired": _PASSWORD_EXPIRED,
    "exchange.password_change_required": replace(
        _PASSWORD_EXPIRED,
        name="ErrorPasswordChangeRequired",
        meaning=_("The password of the account has to be changed first."),
    ),
    "exchange.non_existent_mailbox": Entry(
        name="ErrorNonExistentMailbox",
        meaning=_("The server has no mailbox with this address."),
        cause=_(
            "The address is misspelt or has changed, the user has no mailbox, or it lives on "
            "another server."
        ),
        remedy=_(
            "Correct the address of the mailbox or choose another server profile, then test and "
            "enable the mailbox. With an account of its own, try the user principal name as user "
            "name."
        ),
        reference="A40",
    ),
    "exchange.mailbox_configuration": Entry(
        name="ErrorMailboxConfiguration",
        meaning=_("The mailbox is not set up properly on the server."),
        cause=_("Something in the mailbox's settings on the server is missing or wrong."),
        remedy=_(
            "Let the server's administrator check the mailbox, then test and enable the mailbox."
        ),
    ),
    "exchange.invalid_smtp_address": Entry(
        name="ErrorInvalidSmtpAddress",
        meaning=_("The server does not recognise the mailbox's address."),
        cause=_("The address is misspelt, or is none that the server could have."),
        remedy=_("Correct the address of the mailbox, then test and enable the mailbox."),
        reference="A45",
    ),
    "exchange.send_as_denied": Entry(
        name="ErrorSendAsDenied",
        meaning=_("The server does not let the account send email in the sender's name."),
        cause=_("On the server, it lacks the right to send as the sender."),
        remedy=_(
            "Give the account the right “Send As” for the sender's mailbox on the server, then "
            "send the email again, or test and enable the mailbox."
        ),
    ),
    "exchange.mailbox_store_unavailable": _STORE_AWAY,
    "exchange.mailbox_failover": replace(_STORE_AWAY, name="ErrorMailboxFailover"),
    "exchange.mailbox_move_in_progress": Entry(
        name="ErrorMailboxMoveInProgress",
        meaning=_("The mailbox is being moved on the server."),
        cause=_("The server's administrator is moving it to another database."),
        remedy=RETRIED,
    ),
    "exchange.internal_server_error": Entry(
        name="ErrorInternalServerError",
        meaning=_("The mail server met an error of its own."),
        cause=_("Something failed on the server; it does not say what."),
        remedy=ASK_SERVER,
    ),
    "exchange.internal_server_transient_error": Entry(
        name="ErrorInternalServerTransientError",
        meaning=_("The mail server met an error that should pass by itself."),
        cause=_("Something failed on the server, and it expects that a later attempt will work."),
        remedy=ASK_SERVER,
        reference="A18",
    ),
    "exchange.timeout_expired": Entry(
        name="ErrorTimeoutExpired",
        meaning=_("The mail server did not finish a request in the time that it allows itself."),
        cause=_("The server is overloaded, or a folder is very large."),
        remedy=ASK_SERVER,
    ),
    "exchange.connection_failed": Entry(
        name="ErrorConnectionFailed",
        meaning=_("The mail server could not reach the machine that holds the mailbox."),
        cause=_("Within the organisation of Exchange, a server is down or cannot be reached."),
        remedy=ASK_SERVER,
    ),
    "exchange.a_d_unavailable": Entry(
        name="ErrorADUnavailable",
        meaning=_("The mail server could not ask its directory about users."),
        cause=_("Active Directory is not available to the server."),
        remedy=ASK_SERVER,
    ),
    "exchange.insufficient_resources": _OVERLOADED,
    "exchange.batch_processing_stopped": Entry(
        name="ErrorBatchProcessingStopped",
        meaning=_("The mail server stopped in the middle of a request."),
        cause=_("An error in one part of the request kept it from seeing to the others."),
        remedy=RETRIED,
    ),
    "exchange.invalid_sync_state_data": Entry(
        name="ErrorInvalidSyncStateData",
        meaning=_("The mail server no longer knows how far the mailbox had been read."),
        cause=_("The mailbox was moved or restored, or the server was updated."),
        remedy=_(
            "Nothing needs to be done: the mailbox is listed anew. Email that is known already is "
            "not stored twice."
        ),
    ),
    "exchange.folder_not_found": _FOLDER_GONE,
    "exchange.sync_folder_not_found": replace(_FOLDER_GONE, name="ErrorSyncFolderNotFound"),
}

ORGANISED = {
    "exchange.folder_gone": Entry(
        meaning=_("A folder that was followed is no longer in the mailbox."),
        cause=_("Its user deleted it, or the mailbox was moved to another server."),
        remedy=_(
            "Let the user choose another folder. Records that were made from the folder stay as "
            "they are."
        ),
    ),
    "exchange.categories_unreadable": Entry(
        meaning=_("The mailbox's own list of categories cannot be read."),
        cause=_("A program has written it in a form that Outlook does not use."),
        remedy=_(
            "Change one of the categories in Outlook, which writes the list anew. Email is "
            "processed meanwhile."
        ),
    ),
}

_TOO_LARGE = Entry(
    name="ErrorMessageSizeExceeded",
    meaning=_("A message is larger than the mail server allows."),
    cause=_("The message, mostly its attachments, is larger than the server hands out or takes."),
    remedy=_(
        "Raise the limit for Exchange Web Services on the server, or make the message smaller. All "
        "other email is processed."
    ),
)
_DAMAGED = Entry(
    name="ErrorItemCorrupt",
    meaning=_("A message in the mailbox is damaged."),
    cause=_("The mail server itself cannot read it properly."),
    remedy=_(
        "Open the message in a mail program: if it cannot be read there either, delete it. All "
        "other email is processed."
    ),
)
_NOT_CONVERTED = Entry(
    name="ErrorContentConversionFailed",
    meaning=_("The mail server could not put a message into the form of internet mail."),
    cause=_("The message holds something unusual or damaged."),
    remedy=_(
        "Open the message in a mail program and, if it matters, forward it to the mailbox once "
        "more. All other email is processed."
    ),
)
_NOT_TAKEN = Entry(
    name="ErrorMimeContentInvalid",
    meaning=_("The mail server does not accept the form of a message."),
    cause=_("The message holds something that the server cannot read."),
    remedy=_("Write the message anew, without what was pasted in. All other email is processed."),
)
_BAD_RECIPIENTS = Entry(
    name="ErrorInvalidRecipients",
    meaning=_("The mail server does not accept a recipient of an email."),
    cause=_("An address is misspelt, or is none that the server could send to."),
    remedy=_("Correct the recipients of the email and send it again."),
)
_REQUEST_REFUSED = Entry(
    name="ErrorMissingArgument",
    meaning=_("The mail server did not understand our request about one message."),
    cause=_("Its version expects something else, or this service has an error."),
    remedy=_(
        "Report it to those who maintain this service, with the code and the version of the "
        "server. All other email is processed."
    ),
)

_VALUE_REFUSED = Entry(
    name="ErrorInvalidPropertySet",
    meaning=_("The mail server does not accept a value of an appointment, a contact or a task."),
    cause=_("The value is longer or otherwise than the server takes, or lacks what goes with it."),
    remedy=_("Correct the record in the CRM; the details tell what the server says of it."),
)
_EDITED_MEANWHILE = Entry(
    name="ErrorIrresolvableConflict",
    meaning=_("Somebody changed an item in the mailbox while it was being written."),
    cause=_("The mail server keeps both edits apart; the newer one is read first."),
    remedy=RETRIED,
)

#: Of appointments, contacts and tasks.
ACTIVITIES = {
    "exchange.schema_validation": replace(_VALUE_REFUSED, name="ErrorSchemaValidation"),
    **{
        f"exchange.{code}": replace(_VALUE_REFUSED, name=name)
        for code, name in (
            ("invalid_property_set", "ErrorInvalidPropertySet"),
            ("invalid_property_request", "ErrorInvalidPropertyRequest"),
            ("invalid_extended_property", "ErrorInvalidExtendedProperty"),
            ("invalid_value_for_property", "ErrorInvalidValueForProperty"),
            ("invalid_complete_date", "ErrorInvalidCompleteDate"),
            ("invalid_percent_complete_value", "ErrorInvalidPercentCompleteValue"),
            ("required_property_missing", "ErrorRequiredPropertyMissing"),
            ("property_validation_failure", "ErrorPropertyValidationFailure"),
        )
    },
    "exchange.calendar_end_date_is_earlier_than_start_date": Entry(
        name="ErrorCalendarEndDateIsEarlierThanStartDate",
        meaning=_("An appointment ends before it starts, which the mail server refuses."),
        cause=_("Its start, its end or its time zone is wrong."),
        remedy=_("Correct the times of the appointment in the CRM."),
    ),
    "exchange.calendar_duration_is_too_long": Entry(
        name="ErrorCalendarDurationIsTooLong",
        meaning=_("An appointment lasts longer than the mail server allows."),
        cause=_("Exchange takes five years at most."),
        remedy=_("Correct the times of the appointment in the CRM."),
    ),
    "exchange.irresolvable_conflict": _EDITED_MEANWHILE,
    "exchange.stale_object": replace(_EDITED_MEANWHILE, name="ErrorStaleObject"),
    "exchange.invalid_change_key": replace(_EDITED_MEANWHILE, name="ErrorInvalidChangeKey"),
}

ITEMS = {
    "exchange.message_size_exceeded": _TOO_LARGE,
    "exchange.data_size_limit_exceeded": replace(_TOO_LARGE, name="ErrorDataSizeLimitExceeded"),
    "exchange.corrupt_data": replace(_DAMAGED, name="ErrorCorruptData"),
    "exchange.item_corrupt": _DAMAGED,
    "exchange.content_conversion_failed": _NOT_CONVERTED,
    "exchange.mime_content_conversion_failed": replace(
        _NOT_CONVERTED, name="ErrorMimeContentConversionFailed"
    ),
    "exchange.unsupported_mime_conversion": replace(
        _NOT_CONVERTED, name="ErrorUnsupportedMimeConversion"
    ),
    "exchange.mime_content_invalid": _NOT_TAKEN,
    "exchange.mime_content_invalid_base64_string": replace(
        _NOT_TAKEN, name="ErrorMimeContentInvalidBase64String"
    ),
    "exchange.invalid_recipients": _BAD_RECIPIENTS,
    "exchange.missing_recipients": replace(
        _BAD_RECIPIENTS,
        name="ErrorMissingRecipients",
        meaning=_("The mail server finds no recipient in an email."),
    ),
    "exchange.item_not_found": Entry(
        name="ErrorItemNotFound",
        meaning=_("A message is no longer where it was in the mailbox."),
        cause=_("A person, a rule or another attempt moved or deleted it meanwhile."),
        remedy=RETRIED,
    ),
    "exchange.still_in_outbox": Entry(
        meaning=_("An email that was sent is still in the Outbox."),
        cause=_("The mail server is slow to send it, so its copy cannot be removed yet."),
        remedy=RETRIED,
    ),
    "exchange.missing_argument": _REQUEST_REFUSED,
    "exchange.invalid_id_malformed": replace(_REQUEST_REFUSED, name="ErrorInvalidIdMalformed"),
}

ENTRIES = {**HTTP, **RESPONSE_CODES, **ORGANISED, **ACTIVITIES, **ITEMS}
