"""The errors an Exchange answers with, as exceptions.

`EwsError` concerns one item or folder and becomes one response message; `SoapFault` concerns the
whole request and becomes a SOAP fault. `FACTS` holds the sentence Exchange says with each code.
"""

from collections.abc import Sequence

#: Exchange's own sentences for the codes the simulator raises itself.
FACTS = {
    "ErrorAccessDenied": "Access is denied. Check credentials and try again.",
    "ErrorAffectedTaskOccurrencesRequired": (
        "AffectedTaskOccurrences attribute must be specified for Task items."
    ),
    "ErrorAttachmentNestLevelLimitExceeded": "The attachment nest level exceeds the limit.",
    "ErrorBatchProcessingStopped": "The batch processing was stopped.",
    "ErrorCalendarDurationIsTooLong": "The calendar item is longer than five years.",
    "ErrorCalendarEndDateIsEarlierThanStartDate": (
        "EndDate is earlier than StartDate of the calendar item."
    ),
    "ErrorCalendarIsCancelledForAccept": "The meeting is cancelled and cannot be accepted.",
    "ErrorCalendarIsCancelledForDecline": "The meeting is cancelled and cannot be declined.",
    "ErrorCalendarIsCancelledForTentative": (
        "The meeting is cancelled and cannot be accepted tentatively."
    ),
    "ErrorCalendarIsNotOrganizer": "You must be the organizer to perform this action.",
    "ErrorCalendarIsOrganizerForAccept": "The organizer cannot accept his own meeting.",
    "ErrorCalendarIsOrganizerForDecline": "The organizer cannot decline his own meeting.",
    "ErrorCalendarIsOrganizerForTentative": (
        "The organizer cannot accept his own meeting tentatively."
    ),
    "ErrorCalendarMeetingRequestIsOutOfDate": "The meeting request is out of date.",
    "ErrorCalendarCannotMoveOrCopyOccurrence": "Single occurrences cannot be moved or copied.",
    "ErrorCalendarCannotUseIdForOccurrenceId": "The id is not that of a recurring master.",
    "ErrorCalendarCannotUseIdForRecurringMasterId": "The id is not that of an occurrence.",
    "ErrorCalendarInvalidRecurrence": "The recurrence is invalid.",
    "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange": (
        "Occurrence index is out of recurrence range."
    ),
    "ErrorCalendarOccurrenceIsDeletedFromRecurrence": (
        "Occurrence with this index was previously deleted from the recurrence."
    ),
    "ErrorCannotDeleteObject": "This object cannot be deleted.",
    "ErrorChangeKeyRequired": "A change key is required for this operation.",
    "ErrorChangeKeyRequiredForWriteOperations": (
        "The change key passed in the request is required for this write operation."
    ),
    "ErrorCorruptData": "Data is corrupt.",
    "ErrorDeleteDistinguishedFolder": "Distinguished folders cannot be deleted.",
    "ErrorExceededConnectionCount": (
        "You have exceeded the available concurrent connections for your account.  Try again once "
        "your other requests have completed."
    ),
    "ErrorEventNotFound": "The event could not be found.",
    "ErrorExceededSubscriptionCount": "You have exceeded the available subscriptions.",
    "ErrorExpiredSubscription": "The subscription has expired.",
    "ErrorFolderExists": "A folder with the specified name already exists.",
    "ErrorFolderNotFound": "The specified folder could not be found in the store.",
    "ErrorImpersonateUserDenied": (
        "The account does not have permission to impersonate the requested user."
    ),
    "ErrorIncorrectUpdatePropertyCount": "An update must carry exactly one property.",
    "ErrorInternalServerError": "An internal server error occurred. The operation failed.",
    "ErrorInternalServerTransientError": ("An internal server error occurred. Try again later."),
    "ErrorInvalidAttachmentId": "The attachment ID is malformed.",
    "ErrorInvalidChangeKey": "The change key is invalid.",
    "ErrorInvalidCompleteDate": "The complete date cannot be in the future.",
    "ErrorInvalidExtendedProperty": "The extended property attribute combination is invalid.",
    "ErrorInvalidFolderId": "The folder id is invalid.",
    "ErrorInvalidFolderTypeForOperation": "The folder's type does not allow this operation.",
    "ErrorInvalidIdMalformed": "Id is malformed.",
    "ErrorInvalidOperation": "The operation is not valid for this object.",
    "ErrorInvalidPercentCompleteValue": "PercentComplete must be between 0 and 100.",
    "ErrorInvalidPropertyRequest": "Property is not valid for this object type.",
    "ErrorInvalidPropertySet": "Set action is invalid for property.",
    "ErrorInvalidRecipients": "At least one recipient is not valid.",
    "ErrorInvalidRequest": "The request is invalid.",
    "ErrorInvalidSyncStateData": ("Synchronization state data is corrupt or otherwise invalid."),
    "ErrorInvalidPullSubscriptionId": "The subscription is not one to be pulled.",
    "ErrorInvalidSubscription": "The subscription is invalid.",
    "ErrorInvalidSubscriptionRequest": "The subscription request is invalid.",
    "ErrorInvalidWatermark": "The watermark is invalid.",
    "ErrorIrresolvableConflict": (
        "The send or update operation could not be performed because the change key passed in the "
        "request does not match the current change key for the item."
    ),
    "ErrorItemNotFound": "The specified object was not found in the store.",
    "ErrorItemSave": "The item could not be saved.",
    "ErrorItemSavePropertyError": "The item could not be saved.",
    "ErrorMailboxMoveInProgress": "The mailbox is being moved. Try again later.",
    "ErrorMailboxStoreUnavailable": "The mailbox database is temporarily unavailable.",
    "ErrorMessageDispositionRequired": (
        "The MessageDisposition attribute is required for this request."
    ),
    "ErrorMessageSizeExceeded": ("The message exceeds the maximum supported size."),
    "ErrorMimeContentConversionFailed": ("The MIME content conversion failed."),
    "ErrorMimeContentInvalid": "The MIME content is invalid.",
    "ErrorMissingRecipients": "There are no recipients.",
    "ErrorMoveCopyFailed": "The move or copy operation failed.",
    "ErrorNameResolutionMultipleResults": ("Multiple results were found."),
    "ErrorNameResolutionNoResults": "No results were found.",
    "ErrorNonExistentMailbox": "The SMTP address has no mailbox associated with it.",
    "ErrorOccurrenceCrossingBoundary": (
        "The occurrence overlaps or crosses an occurrence beside it."
    ),
    "ErrorQuotaExceeded": "The mailbox has exceeded its quota.",
    "ErrorRecurrenceHasNoOccurrence": "The recurrence has no occurrence.",
    "ErrorSchemaValidation": "The request failed schema validation.",
    "ErrorSendMeetingCancellationsRequired": (
        "SendMeetingCancellations attribute must be specified for calendar items."
    ),
    "ErrorSendMeetingInvitationsOrCancellationsRequired": (
        "SendMeetingInvitationsOrCancellations attribute must be specified for calendar items."
    ),
    "ErrorSendMeetingInvitationsRequired": (
        "SendMeetingInvitations attribute must be specified for calendar items."
    ),
    "ErrorSendAsDenied": "The user account does not have the right to send as this sender.",
    "ErrorServerBusy": "The server cannot service this request right now. Try again later.",
    "ErrorStaleObject": ("The object is stale: its change key does not match the current one."),
    "ErrorSubmissionQuotaExceeded": "The message submission quota was exceeded.",
    "ErrorSubscriptionAccessDenied": "The subscription is somebody else's.",
    "ErrorSubscriptionNotFound": "The specified subscription was not found.",
    "ErrorSyncFolderNotFound": ("The folder to be synchronized could not be found in the store."),
    "ErrorTimeoutExpired": "The operation could not be performed because it timed out.",
    "ErrorUnsupportedPathForQuery": "The property can not be used in a query restriction.",
    "ErrorUnsupportedPathForSortGroup": "The property can not be used for sorting.",
    "ErrorUpdatePropertyMismatch": "The update's path and its property do not match.",
}

#: What stands in an error's MessageXml: pairs of a `t:Value` name and its text, in order.
Values = Sequence[tuple[str, str]]


def sentence(code: str) -> str:
    """What Exchange says with `code`."""
    return FACTS.get(code, f"The request failed: {code}.")


class EwsError(Exception):
    """One item or folder of the request failed; the others go on."""

    def __init__(self, code: str, text: str | None = None, values: Values = ()) -> None:
        super().__init__(code)
        self.code = code
        self.text = text or sentence(code)
        self.values = tuple(values)


class SoapFault(Exception):
    """The whole request is refused with HTTP 500 and a SOAP fault."""

    def __init__(
        self,
        code: str,
        text: str | None = None,
        values: Values = (),
        *,
        violation: tuple[int, int, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.text = text or sentence(code)
        self.values = tuple(values)
        self.violation = violation


def schema_violation(what: str, line: int = 0, position: int = 0) -> SoapFault:
    """The fault for a request that the schema forbids; `what` names the violation."""
    text = f"The request failed schema validation: {what}"
    return SoapFault("ErrorSchemaValidation", text, violation=(line, position, what))
