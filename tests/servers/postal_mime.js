// Reads the mails in the files named on the command line, and prints what is in them as JSON.

const fs = require("node:fs");
const { default: PostalMime } = require("postal-mime");

async function read(file) {
  const mail = await PostalMime.parse(fs.readFileSync(file), {
    attachmentEncoding: "base64",
    forceRfc822Attachments: true,
  });
  const people = (list) => (list || []).map(({ name, address, group }) => [name, address || group]);
  return {
    message_id: mail.messageId,
    in_reply_to: mail.inReplyTo || "",
    references: (mail.references || "").split(/\s+/).filter(Boolean),
    date: mail.date,
    from: people(mail.from && [mail.from]),
    sender: people(mail.sender && [mail.sender]),
    to: people(mail.to),
    cc: people(mail.cc),
    bcc: people(mail.bcc),
    subject: mail.subject,
    text: mail.text || "",
    html: mail.html || "",
    files: mail.attachments.map((file) => [
      file.filename,
      file.mimeType,
      file.content,
      (file.contentId || "").replace(/^<|>$/g, ""),
      file.disposition,
      Boolean(file.related),
    ]),
  };
}

Promise.all(process.argv.slice(2).map(read)).then((mails) => console.log(JSON.stringify(mails)));
