// A session of ews-javascript-api with the simulator: node client.js EWS_URL LOGIN PASSWORD TO
// Prints one JSON object that says what came of each step; exits with 1 if one failed.
"use strict";

const ews = require("ews-javascript-api");

const [url, login, password, to] = process.argv.slice(2);

async function main() {
  const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013_SP1);
  service.Credentials = new ews.WebCredentials(login, password);
  service.Url = new ews.Uri(url);
  const inboxId = new ews.FolderId(ews.WellKnownFolderName.Inbox);
  const told = {};

  const inbox = await ews.Folder.Bind(service, ews.WellKnownFolderName.Inbox);
  told.inbox = [inbox.DisplayName, inbox.TotalCount, inbox.UnreadCount];

  const view = new ews.ItemView(10);
  const found = await service.FindItems(ews.WellKnownFolderName.Inbox, view);
  told.found = found.Items.map((item) => item.Subject);

  const message = await ews.EmailMessage.Bind(service, found.Items[0].Id);
  told.loaded = [message.Subject, message.From.Address, message.Body.Text.trim(), message.IsRead];

  const mail = new ews.EmailMessage(service);
  mail.Subject = "From node";
  mail.Body = new ews.MessageBody(ews.BodyType.Text, "sent by ews-javascript-api");
  mail.ToRecipients.Add(to);
  await mail.SendAndSaveCopy();

  const appointment = new ews.Appointment(service);
  appointment.Subject = "Meeting";
  appointment.Start = new ews.DateTime(Date.UTC(2026, 4, 4, 9));
  appointment.End = new ews.DateTime(Date.UTC(2026, 4, 4, 10));
  await appointment.Save(ews.SendInvitationsMode.SendToNone);
  told.appointment = (
    await ews.Appointment.Bind(service, appointment.Id)
  ).End.ToISOString();

  const contact = new ews.Contact(service);
  contact.GivenName = "Nora";
  contact.Surname = "Node";
  contact.EmailAddresses._setItem(
    ews.EmailAddressKey.EmailAddress1,
    new ews.EmailAddress("nora@elsewhere.test")
  );
  await contact.Save();
  told.contact = (await ews.Contact.Bind(service, contact.Id)).DisplayName;

  const scope = ews.SyncFolderItemsScope.NormalItems;
  const sync = (state) =>
    service.SyncFolderItems(inboxId, ews.PropertySet.IdOnly, [], 2, scope, state);
  const first = await sync(null);
  const second = await sync(first.SyncState);
  told.synced = [first.Count, first.MoreChangesAvailable, second.Count, second.MoreChangesAvailable];
  await message.Delete(ews.DeleteMode.HardDelete);
  const third = await sync(second.SyncState);
  told.change = [third.Count, ews.ChangeType[third._getItem(0).ChangeType]];
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error && error.stack ? error.stack : error);
  process.exit(1);
});
