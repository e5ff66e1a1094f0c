"""What the EWS schema says of items: which properties each class has, and in which order.

The tables are the element order of the answer. Distribution lists are not simulated.
"""


def names(text: str) -> tuple[str, ...]:
    """The words of a table; written so that a table reads like the schema's own."""
    return tuple(text.split())


ITEM = names("""
    MimeContent ItemId ParentFolderId ItemClass Subject Sensitivity Body Attachments
    DateTimeReceived Size Categories Importance InReplyTo IsSubmitted IsDraft IsFromMe
    IsResend IsUnmodified InternetMessageHeaders DateTimeSent DateTimeCreated ResponseObjects
    ReminderDueBy ReminderIsSet ReminderNextTime ReminderMinutesBeforeStart DisplayCc
    DisplayTo DisplayBcc HasAttachments ExtendedProperty Culture EffectiveRights
    LastModifiedName LastModifiedTime IsAssociated WebClientReadFormQueryString
    WebClientEditFormQueryString ConversationId UniqueBody Flag StoreEntryId InstanceKey
    NormalizedBody EntityExtractionResult PolicyTag ArchiveTag RetentionDate Preview
    RightsManagementLicenseData PredictedActionReasons IsClutter BlockStatus HasBlockedImages
    TextBody IconIndex SearchKey SortKey Hashtags Mentions MentionedMe MentionsPreview
    MentionsEx AppliedHashtags AppliedHashtagsPreview Likes LikesPreview
    PendingSocialActivityTagIds AtAllMention CanDelete InferenceClassification
    """)

MESSAGE = names("""
    Sender ToRecipients CcRecipients BccRecipients IsReadReceiptRequested
    IsDeliveryReceiptRequested ConversationIndex ConversationTopic From InternetMessageId
    IsRead IsResponseRequested References ReplyTo ReceivedBy ReceivedRepresenting
    ApprovalRequestData VotingInformation ReminderMessageData MessageSafety SenderSMTPAddress
    MailboxGuids PublishedCalendarItemIcs PublishedCalendarItemName
    """)

CALENDAR = names("""
    UID RecurrenceId DateTimeStamp Start End OriginalStart IsAllDayEvent LegacyFreeBusyStatus
    Location When IsMeeting IsCancelled IsRecurring MeetingRequestWasSent IsResponseRequested
    CalendarItemType MyResponseType Organizer RequiredAttendees OptionalAttendees Resources
    InboxReminders ConflictingMeetingCount AdjacentMeetingCount ConflictingMeetings
    AdjacentMeetings Duration TimeZone AppointmentReplyTime AppointmentSequenceNumber
    AppointmentState Recurrence FirstOccurrence LastOccurrence ModifiedOccurrences
    DeletedOccurrences MeetingTimeZone StartTimeZone EndTimeZone ConferenceType
    AllowNewTimeProposal IsOnlineMeeting MeetingWorkspaceUrl NetShowUrl EnhancedLocation
    StartWallClock EndWallClock StartTimeZoneId EndTimeZoneId IntendedFreeBusyStatus
    JoinOnlineMeetingUrl OnlineMeetingSettings IsOrganizer CalendarActivityData
    DoNotForwardMeeting
    """)

#: What every meeting message has between the properties of a message and its own.
MEETING = names("""
    AssociatedCalendarItemId IsDelegated IsOutOfDate HasBeenProcessed ResponseType UID RecurrenceId
    DateTimeStamp IsOrganizer
    """)

MEETING_REQUEST = names("""
    MeetingRequestType IntendedFreeBusyStatus Start End OriginalStart IsAllDayEvent
    LegacyFreeBusyStatus Location When IsMeeting IsCancelled IsRecurring MeetingRequestWasSent
    CalendarItemType MyResponseType Organizer RequiredAttendees OptionalAttendees Resources
    ConflictingMeetingCount AdjacentMeetingCount ConflictingMeetings AdjacentMeetings Duration
    TimeZone AppointmentReplyTime AppointmentSequenceNumber AppointmentState Recurrence
    FirstOccurrence LastOccurrence ModifiedOccurrences DeletedOccurrences MeetingTimeZone
    StartTimeZone EndTimeZone ConferenceType AllowNewTimeProposal IsOnlineMeeting
    """)

MEETING_RESPONSE = names("""
    Start End Location Recurrence CalendarItemType ProposedStart ProposedEnd
    """)

MEETING_CANCELLATION = names("Start End Location Recurrence CalendarItemType")

CONTACT = names("""
    FileAs FileAsMapping DisplayName GivenName Initials MiddleName Nickname CompleteName
    CompanyName EmailAddresses AbchEmailAddresses PhysicalAddresses PhoneNumbers AssistantName
    Birthday BusinessHomePage Children Companies ContactSource Department Generation
    ImAddresses JobTitle Manager Mileage OfficeLocation PostalAddressIndex Profession
    SpouseName Surname WeddingAnniversary HasPicture PhoneticFullName PhoneticFirstName
    PhoneticLastName Alias Notes Photo UserSMIMECertificate MSExchangeCertificate DirectoryId
    ManagerMailbox DirectReports AccountName IsAutoUpdateDisabled IsMessengerEnabled Comment
    ContactShortId ContactType Gender IsHidden ObjectId PassportId IsPrivate SourceId
    TrustLevel CreatedBy Urls Cid SkypeAuthCertificate SkypeContext SkypeId SkypeRelationship
    YomiNickname XboxLiveTag InviteFree HidePresenceAndProfile IsPendingOutbound
    SupportGroupFeeds UserTileHash UnifiedInbox Mris Wlid AbchContactId NotInBirthdayCalendar
    ShellContactType ImMri PresenceTrustLevel OtherMri ProfileLastChanged MobileIMEnabled
    PartnerNetworkProfilePhotoUrl PartnerNetworkThumbnailPhotoUrl PersonId ConversationGuid
    """)

TASK = names("""
    ActualWork AssignedTime BillingInformation ChangeCount Companies CompleteDate Contacts
    DelegationState Delegator DueDate IsAssignmentEditable IsComplete IsRecurring IsTeamTask
    Mileage Owner PercentComplete Recurrence StartDate Status StatusDescription TotalWork
    """)

#: Prefix of a property's path -> the properties that have it.
BY_PREFIX = {
    "item": ITEM,
    "message": MESSAGE,
    "calendar": CALENDAR,
    "contacts": CONTACT,
    "task": TASK,
    "meeting": (*MEETING, "ProposedStart", "ProposedEnd", "DoNotForwardMeeting"),
    "meetingRequest": names("MeetingRequestType IntendedFreeBusyStatus ChangeHighlights"),
}
#: Paths that name no element of ours, but that a client may ask for.
SILENT_PREFIXES = names("""
    sharingMessage distributionlist postitem conversation person persona rolemember network
    abchperson booking insight
    """)
#: Element of an item -> its properties, in the order of the schema.
ORDER = {
    "Item": ITEM,
    "Message": ITEM + MESSAGE,
    "CalendarItem": ITEM + CALENDAR,
    "Contact": ITEM + CONTACT,
    "Task": ITEM + TASK,
    "MeetingRequest": ITEM + MESSAGE + MEETING + MEETING_REQUEST,
    "MeetingResponse": ITEM + MESSAGE + MEETING + MEETING_RESPONSE,
    "MeetingCancellation": ITEM + MESSAGE + MEETING + MEETING_CANCELLATION,
}
MEETING_MESSAGES = names("MeetingRequest MeetingResponse MeetingCancellation")
MESSAGES = ("Message", *MEETING_MESSAGES)
#: Element of an item -> the prefixes of its properties' paths, besides `item`.
PREFIXES = {
    "Item": (),
    "Message": ("message",),
    "CalendarItem": ("calendar",),
    "Contact": ("contacts",),
    "Task": ("task",),
    **dict.fromkeys(MEETING_MESSAGES, ("message", "meeting", "meetingRequest", "calendar")),
}
RANK = {
    element: {name: rank for rank, name in enumerate(names)} for element, names in ORDER.items()
}
#: Element of an item that clients may create -> its class.
CLASS_OF_ELEMENT = {
    "Item": "IPM.Note",
    "Message": "IPM.Note",
    "CalendarItem": "IPM.Appointment",
    "Contact": "IPM.Contact",
    "Task": "IPM.Task",
}

RECIPIENT_LISTS = names("ToRecipients CcRecipients BccRecipients ReplyTo")
ATTENDEE_LISTS = names("RequiredAttendees OptionalAttendees Resources")
RESPONSE_TYPES = names("Unknown Organizer Tentative Accept Decline NoResponseReceived")
SINGLE_RECIPIENTS = names("From Sender Organizer ReceivedBy ReceivedRepresenting ManagerMailbox")
STRING_LISTS = names("Categories Companies Contacts Children Hashtags")
DATES = names("""
    ReminderDueBy Start End OriginalStart DateTimeStamp Birthday WeddingAnniversary AssignedTime
    CompleteDate DueDate StartDate DateTimeReceived DateTimeSent DateTimeCreated LastModifiedTime
    """)
BOOLEANS = names("""
    IsSubmitted IsDraft IsFromMe IsResend IsUnmodified ReminderIsSet HasAttachments IsAssociated
    IsReadReceiptRequested IsDeliveryReceiptRequested IsRead IsResponseRequested IsAllDayEvent
    IsMeeting IsCancelled IsRecurring MeetingRequestWasSent AllowNewTimeProposal IsOnlineMeeting
    HasPicture IsComplete IsTeamTask
    """)
INTEGERS = names("""
    Size ReminderMinutesBeforeStart AppointmentSequenceNumber AppointmentState ConferenceType
    ActualWork TotalWork ChangeCount IsAssignmentEditable
    """)
CHOICES = {
    "Sensitivity": names("Normal Personal Private Confidential"),
    "Importance": names("Low Normal High"),
    "LegacyFreeBusyStatus": names("Free Tentative Busy OOF WorkingElsewhere NoData"),
    "Status": names("NotStarted InProgress Completed WaitingOnOthers Deferred"),
    "PostalAddressIndex": names("None Home Business Other"),
}
#: Collection of indexed entries -> (name in a path, keys an entry may have).
INDEXED = {
    "EmailAddresses": ("EmailAddress", ("EmailAddress1", "EmailAddress2", "EmailAddress3")),
    "ImAddresses": ("ImAddress", ("ImAddress1", "ImAddress2", "ImAddress3")),
    "PhysicalAddresses": ("PhysicalAddress", ("Business", "Home", "Other")),
    "PhoneNumbers": (
        "PhoneNumber",
        names("""
            AssistantPhone BusinessFax BusinessPhone BusinessPhone2 Callback CarPhone
            CompanyMainPhone HomeFax HomePhone HomePhone2 Isdn MobilePhone OtherFax OtherTelephone
            Pager PrimaryPhone RadioPhone Telex TtyTddPhone
            """),
    ),
}
COLLECTION_OF = {name: collection for collection, (name, _) in INDEXED.items()}
ADDRESS_PARTS = ("Street", "City", "State", "CountryOrRegion", "PostalCode")

#: The server's own: setting one gives ErrorInvalidPropertySet.
READ_ONLY = names("""
    ItemId ParentFolderId DateTimeReceived Size IsSubmitted IsDraft IsFromMe IsResend IsUnmodified
    InternetMessageHeaders DateTimeSent DateTimeCreated ResponseObjects ReminderNextTime DisplayCc
    DisplayTo DisplayBcc HasAttachments EffectiveRights LastModifiedName LastModifiedTime
    IsAssociated WebClientReadFormQueryString WebClientEditFormQueryString ConversationId
    UniqueBody StoreEntryId InstanceKey NormalizedBody Preview TextBody Attachments
    ConversationIndex ConversationTopic ReceivedBy ReceivedRepresenting
    RecurrenceId DateTimeStamp OriginalStart When IsMeeting IsCancelled IsRecurring
    MeetingRequestWasSent CalendarItemType MyResponseType Organizer ConflictingMeetingCount
    AdjacentMeetingCount ConflictingMeetings AdjacentMeetings Duration TimeZone
    AppointmentReplyTime AppointmentSequenceNumber AppointmentState FirstOccurrence LastOccurrence
    ModifiedOccurrences DeletedOccurrences CompleteName HasPicture AssignedTime ChangeCount
    DelegationState Delegator IsAssignmentEditable IsComplete IsTeamTask Owner StatusDescription
    """)
#: Not to be changed any more once a message was sent.
FIXED_AFTER_SENDING = names("""
    ToRecipients CcRecipients BccRecipients InternetMessageId From Sender ReplyTo InReplyTo
    References IsReadReceiptRequested IsDeliveryReceiptRequested
    """)
#: Never in the answer of FindItem, FindFolder or a sync, even if asked for.
NOT_IN_LISTS = names("""
    MimeContent Body UniqueBody NormalizedBody TextBody Attachments InternetMessageHeaders
    ResponseObjects ToRecipients CcRecipients BccRecipients ReplyTo RequiredAttendees
    OptionalAttendees Resources Recurrence FirstOccurrence LastOccurrence ModifiedOccurrences
    DeletedOccurrences
    """)
DEFAULT_SHAPE = {
    "Item": names("ItemId Subject Body Attachments HasAttachments"),
    "Message": names("""
        ItemId Subject Sensitivity Body Attachments DateTimeSent DateTimeCreated HasAttachments
        From ToRecipients CcRecipients IsRead
        """),
    "CalendarItem": names("""
        ItemId Subject Body Attachments HasAttachments Start End LegacyFreeBusyStatus Location
        CalendarItemType Organizer RequiredAttendees OptionalAttendees Resources
        """),
    "Contact": names("""
        ItemId Attachments HasAttachments FileAs DisplayName CompleteName CompanyName EmailAddresses
        PhysicalAddresses PhoneNumbers ImAddresses JobTitle
        """),
    "Task": names("""
        ItemId Subject Attachments HasAttachments DueDate PercentComplete StartDate Status
        """),
    **dict.fromkeys(
        MEETING_MESSAGES,
        names("""
            ItemId Subject Sensitivity Body Attachments DateTimeSent DateTimeCreated HasAttachments
            From ToRecipients CcRecipients IsRead AssociatedCalendarItemId IsDelegated IsOutOfDate
            HasBeenProcessed ResponseType
            """),
    ),
}
#: "AllProperties" is all but what is costly or must be asked for by name.
NOT_IN_ALL = names("MimeContent UniqueBody NormalizedBody TextBody ExtendedProperty")
