// Sessions of ews-javascript-api with the simulator: node client.js EWS_URL LOGIN PASSWORD TO
// The Inbox holds the messages "first" to "fifth". Prints one JSON object that says what came of
// each session; exits with 1 if one failed.
"use strict";

const ews = require("ews-javascript-api");

const [url, login, password, to] = process.argv.slice(2);
const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013_SP1);
service.Credentials = new ews.WebCredentials(login, password);
service.Url = new ews.Uri(url);

const Folders = ews.WellKnownFolderName;
const Filter = ews.SearchFilter;
const MERGE = ews.ConflictResolutionMode.AutoResolve;
const NOBODY = ews.SendInvitationsMode.SendToNone;

const utc = (...parts) => new ews.DateTime(Date.UTC(...parts));
const base64 = (text) => Buffer.from(text).toString("base64");
const subjects = (found) => found.Items.map((item) => item.Subject);
const newest = (folder, count) => service.FindItems(folder, new ews.ItemView(count));
const message = (id) => ews.EmailMessage.Bind(service, id);

async function inbox() {
  const folder = await ews.Folder.Bind(service, Folders.Inbox);
  return [folder.DisplayName, folder.TotalCount, folder.UnreadCount];
}

async function pages() {
  const found = [];
  let page = { MoreAvailable: true, NextPageOffset: 0 };
  while (page.MoreAvailable) {
    const view = new ews.ItemView(2, page.NextPageOffset);
    view.OrderBy.Add(ews.ItemSchema.DateTimeReceived, ews.SortDirection.Ascending);
    page = await service.FindItems(Folders.Inbox, view);
    found.push(subjects(page));
  }
  return found;
}

async function filtered() {
  const { ContainsSubstring, Exists, IsEqualTo, IsGreaterThan, Not, SearchFilterCollection } = Filter;
  const filter = new SearchFilterCollection(ews.LogicalOperator.And, [
    new ContainsSubstring(
      ews.ItemSchema.Subject,
      "FI",
      ews.ContainmentMode.Substring,
      ews.ComparisonMode.IgnoreCase
    ),
    new Not(new IsEqualTo(ews.ItemSchema.Subject, "fifth")),
    new IsEqualTo(ews.EmailMessageSchema.IsRead, false),
    new IsGreaterThan(ews.ItemSchema.DateTimeReceived, utc(2020, 0, 1)),
    new Exists(ews.EmailMessageSchema.From),
  ]);
  const byFilter = await service.FindItems(Folders.Inbox, filter, new ews.ItemView(9));
  const byQuery = await service.FindItems(Folders.Inbox, "subject:third", new ews.ItemView(9));
  return [subjects(byFilter), subjects(byQuery)];
}

async function read() {
  const found = await newest(Folders.Inbox, 2);
  const wanted = new ews.PropertySet(ews.BasePropertySet.FirstClassProperties);
  wanted.RequestedBodyType = ews.BodyType.Text;
  await service.LoadPropertiesForItems(found.Items, wanted);
  return found.Items.map((one) => [one.Subject, one.From.Address, one.Body.Text.trim(), one.IsRead]);
}

async function changed() {
  const key = new ews.ExtendedPropertyDefinition(
    ews.DefaultExtendedPropertySet.PublicStrings,
    "CrmKey",
    ews.MapiPropertyType.String
  );
  const one = await message((await newest(Folders.Inbox, 1)).Items[0].Id);
  one.IsRead = true;
  one.Importance = ews.Importance.High;
  one.Categories.Add("Red");
  one.SetExtendedProperty(key, "k-1");
  await one.Update(MERGE);
  const again = await message(one.Id);
  const byKey = new Filter.IsEqualTo(key, "k-1");
  const found = await service.FindItems(Folders.Inbox, byKey, new ews.ItemView(9));
  return [
    again.IsRead,
    ews.Importance[again.Importance],
    again.Categories.GetEnumerator(),
    subjects(found),
  ];
}

async function sent() {
  const direct = new ews.EmailMessage(service);
  direct.Subject = "From node";
  direct.Body = new ews.MessageBody(ews.BodyType.HTML, "<p>Grüße</p>");
  direct.ToRecipients.Add(to);
  direct.Attachments.AddFileAttachment("a.bin", base64("of the first"));
  await direct.SendAndSaveCopy();

  const draft = new ews.EmailMessage(service);
  draft.Subject = "From a draft";
  draft.ToRecipients.Add(to);
  await draft.Save(Folders.Drafts);
  draft.Attachments.AddFileAttachment("b.bin", base64("of the second"));
  await draft.Update(MERGE);
  await draft.SendAndSaveCopy();

  const original = await message((await newest(Folders.Inbox, 1)).Items[0].Id);
  await original.Reply(new ews.MessageBody("Thank you."), true);
  await original.Forward(new ews.MessageBody("See below."), [new ews.EmailAddress(to)]);

  const copies = (await newest(Folders.SentItems, 9)).Items;
  const files = [];
  for (const copy of copies.filter((one) => one.HasAttachments)) {
    const whole = await message(copy.Id);
    for (const file of whole.Attachments.GetEnumerator()) {
      await file.Load();
      files.push([file.Name, Buffer.from(file.Base64Content, "base64").toString()]);
    }
  }
  return [copies.map((one) => one.Subject), files, (await newest(Folders.Drafts, 9)).TotalCount];
}

async function folders() {
  const parent = new ews.Folder(service);
  parent.DisplayName = "Projects";
  await parent.Save(Folders.MsgFolderRoot);
  const folder = new ews.Folder(service);
  folder.DisplayName = "Sprig";
  await folder.Save(parent.Id);
  folder.DisplayName = "Spring";
  await folder.Update();

  const view = new ews.FolderView(100);
  view.Traversal = ews.FolderTraversal.Deep;
  const all = (await service.FindFolders(Folders.MsgFolderRoot, view)).Folders;
  const names = all.map((one) => one.DisplayName).filter((name) => /^(Projects|Spr)/.test(name));

  const last = await message((await newest(Folders.Inbox, 1)).Items[0].Id);
  await last.Copy(folder.Id);
  const moved = await last.Move(folder.Id);
  const both = subjects(await newest(folder.Id, 9));
  await folder.MarkAllItemsAsRead(true);
  const unread = (await ews.Folder.Bind(service, folder.Id)).UnreadCount;
  await (await message(moved.Id)).Move(Folders.Inbox);
  await folder.Empty(ews.DeleteMode.HardDelete, true);
  const left = (await ews.Folder.Bind(service, folder.Id)).TotalCount;
  await parent.Delete(ews.DeleteMode.HardDelete);
  const gone = await ews.Folder.Bind(service, folder.Id).catch((error) => error.ErrorCode);
  return [names, both, unread, left, ews.ServiceError[gone]];
}

async function synced() {
  const sync = (state, most) =>
    service.SyncFolderItems(
      new ews.FolderId(Folders.Inbox),
      ews.PropertySet.IdOnly,
      [],
      most,
      ews.SyncFolderItemsScope.NormalItems,
      state
    );
  const counts = [];
  let page = { SyncState: null, MoreChangesAvailable: true };
  while (page.MoreChangesAvailable) {
    page = await sync(page.SyncState, 2);
    counts.push(page.Count);
  }
  const found = (await newest(Folders.Inbox, 9)).Items;
  const flagged = await message(found[2].Id);
  flagged.IsRead = true;
  await flagged.Update(MERGE);
  const edited = await message(found[3].Id);
  edited.Categories.Add("Red");
  await edited.Update(MERGE);
  await (await message(found[4].Id)).Delete(ews.DeleteMode.HardDelete);
  const news = await sync(page.SyncState, 9);
  return [counts, news.GetEnumerator().map((one) => ews.ChangeType[one.ChangeType])];
}

async function calendar() {
  const listed = async (most) => {
    const view = new ews.CalendarView(utc(2026, 4, 4), utc(2026, 4, 8), most);
    const found = await service.FindAppointments(Folders.Calendar, view);
    return found.Items.map((one) => `${one.Subject} ${one.Start.ToISOString()}`);
  };
  const meeting = new ews.Appointment(service);
  meeting.Subject = "Meeting";
  meeting.Location = "Room 1";
  meeting.Start = utc(2026, 4, 4, 9);
  meeting.End = utc(2026, 4, 4, 10);
  await meeting.Save(NOBODY);
  const day = new ews.Appointment(service);
  day.Subject = "Day";
  day.Start = utc(2026, 4, 6);
  day.End = utc(2026, 4, 7);
  day.IsAllDayEvent = true;
  await day.Save(NOBODY);
  const [both, one] = [await listed(), await listed(1)];

  const again = await ews.Appointment.Bind(service, meeting.Id);
  again.Start = utc(2026, 4, 5, 9);
  again.End = utc(2026, 4, 5, 11);
  await again.Update(MERGE, ews.SendInvitationsOrCancellationsMode.SendToNone);
  const moved = await ews.Appointment.Bind(service, meeting.Id);
  const told = [moved.Location, moved.Duration.toString(), await listed(1)];
  await day.Delete(ews.DeleteMode.MoveToDeletedItems, ews.SendCancellationsMode.SendToNone);
  return [both, one, ...told, await listed()];
}

async function contacts() {
  const contact = new ews.Contact(service);
  contact.GivenName = "Nora";
  contact.Surname = "Node";
  contact.FileAsMapping = ews.FileAsMapping.SurnameCommaGivenName;
  const address = new ews.EmailAddress("nora@elsewhere.test");
  contact.EmailAddresses._setItem(ews.EmailAddressKey.EmailAddress1, address);
  contact.PhoneNumbers._setItem(ews.PhoneNumberKey.MobilePhone, "+1 555");
  await contact.Save();

  const again = await ews.Contact.Bind(service, contact.Id);
  again.JobTitle = "Boss";
  again.PhoneNumbers._setItem(ews.PhoneNumberKey.MobilePhone, "+1 556");
  await again.Update(MERGE);
  const byName = new Filter.ContainsSubstring(ews.ContactSchema.Surname, "Nod");
  const [found] = (await service.FindItems(Folders.Contacts, byName, new ews.ItemView(9))).Items;
  const whole = await ews.Contact.Bind(service, found.Id);
  await whole.Delete(ews.DeleteMode.HardDelete);
  return [
    whole.DisplayName,
    whole.FileAs,
    whole.JobTitle,
    whole.PhoneNumbers._getItem(ews.PhoneNumberKey.MobilePhone),
    whole.EmailAddresses._getItem(ews.EmailAddressKey.EmailAddress1).Address,
    (await newest(Folders.Contacts, 9)).TotalCount,
  ];
}

async function tasks() {
  const task = new ews.Task(service);
  task.Subject = "Call";
  task.DueDate = utc(2026, 4, 4);
  await task.Save();
  const status = async (change) => {
    const one = await ews.Task.Bind(service, task.Id);
    change(one);
    await one.Update(MERGE);
    const again = await ews.Task.Bind(service, task.Id);
    return [ews.TaskStatus[again.Status], again.PercentComplete, again.IsComplete];
  };
  return [
    await status((one) => (one.PercentComplete = 50)),
    await status((one) => (one.Status = ews.TaskStatus.Completed)),
    (await ews.Task.Bind(service, task.Id)).DueDate.ToISOString(),
  ];
}

async function zones() {
  const all = await service.GetServerTimeZones();
  return all.filter((zone) => zone.Id.startsWith("W. Europe")).map((zone) => zone.Id);
}

async function main() {
  const sessions = [inbox, pages, filtered, read, changed, sent, folders, synced];
  const told = {};
  for (const session of [...sessions, calendar, contacts, tasks, zones]) {
    told[session.name] = await session();
  }
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error && error.stack ? error.stack : error);
  process.exit(1);
});
