"""The mail corpus beside the repository: what each of these awkward messages really says.

The expected values were read from the sources by eye, sizes of attachments counted by other tools.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from syncservice.domain.message import Role, UnreadableMessage, parse

CORPUS = Path(__file__).parents[3] / "shared" / "mail-corpus"
FILES = sorted(CORPUS.glob("*/*.eml"))

pytestmark = pytest.mark.skipif(not FILES, reason=f"no mail corpus in {CORPUS}")


class Mail(NamedTuple):
    file: str
    subject: str
    sender: str  # 'name <address>', or the address alone
    recipients: str  # the same, To before Cc before Bcc, joined with ' | '
    sent: str  # UTC, 'YYYY-MM-DD HH:MM'
    body: str  # how the text begins, after "<>" how the HTML does
    files: str = ""  # 'name size', joined with ' | '


TEXT_ONE = "This is the first part.\n"
HELLO = 'This is a message just to say hello.\nSo, "Hello".\n'
KOREAN = "대부분의 마찬가지로, 우리는 하나님을 믿습니다.\n\n제 이름은 Jamis입니다."
PDF_TEXT = "Just attaching another PDF, here, to see what the message looks like,\nand to see if I"
REPORT_LINE = "    **********************************************\n    **      THIS IS A WARNING"
FOO, BLAH = "foo@example.com", "blah@example.com"

# fmt: off
MAILS = [
    Mail("attachment_emails/attachment_content_disposition", "testing", FOO, BLAH,
         "2005-06-06 20:21", TEXT_ONE, "api.rb 28"),
    Mail("attachment_emails/attachment_content_location", "testing", FOO, BLAH,
         "2005-06-06 20:21", TEXT_ONE, "Photo25.jpg 227"),
    Mail("attachment_emails/attachment_message_rfc822_inline_image", "test", "test@example.com",
         FOO, "2020-04-21 13:40", '<><html><body><img src="cid:emedfeb92f',
         "img.png 370 | Testmail.eml 1851"),
    Mail("attachment_emails/attachment_nonascii_filename", "testing", FOO, BLAH,
         "2005-06-06 20:21", TEXT_ONE, "ciële.txt 11"),
    Mail("attachment_emails/attachment_only_email", "this message JUST contains an attachment",
         "Ryan Finnie <rfinnie@domain.dom>", "bob@domain.dom", "2003-10-24 05:40", "",
         "blah.gz 288"),
    Mail("attachment_emails/attachment_pdf", "Another PDF with 🎉 Unicode chars in it 🍿",
         "Test Tester <xxxx@xxxx.com>", "xxxx@xxxx.com", "2005-05-10 17:26", PDF_TEXT,
         "broken.pdf 1026"),
    Mail("attachment_emails/attachment_with_base64_encoded_name",
         "Fwd: Signed email causes file attachments",
         "xxxxxxxxx xxxxxxx <xxxxxxxxx.xxxxxxx@gmail.com>", "xxxxx xxxx <xxxxx@xxxxxxxxx.com>",
         "2005-05-08 19:09", "We should not include", "This is a test.pdf 399"),
    Mail("attachment_emails/attachment_with_encoded_name",  # 8A is no ISO-2022-JP, as it claims
         "Fwd: Signed email causes file attachments",
         "xxxxxxxxx xxxxxxx <xxxxxxxxx.xxxxxxx@gmail.com>", "xxxxx xxxx <xxxxx@xxxxxxxxx.com>",
         "2005-05-08 19:09", "We should not include", "01 Quien Te DijŠat. Pitbull.mp3 399"),
    Mail("attachment_emails/attachment_with_quoted_filename", "Eelanalüüsi päring",
         "Jeffrey Hardy <jeff@37signals.com>", "Jeffrey Hardy <jeff@37signals.com>",
         "2009-05-13 15:42", "", "Eelanalüüsi päring.jpg 1952"),
    Mail("attachment_emails/attachment_with_unquoted_name", "testing", FOO, BLAH,
         "2005-06-06 20:21", TEXT_ONE, "This is a test.txt 11"),
    Mail("error_emails/bad_encoded_subject", "TEST", "", "", "", "TEST\n"),
    Mail("error_emails/bad_subject", "MySurvey.com:  You have a survey waiting!  91123105",
         "MySurvey.com & Carol Adams <carol@mysurvey.com>", "someone@aol.com", "2010-12-15 17:21",
         "You have a survey waiting!\n<><center>\nhello world"),
    Mail("error_emails/bad_date_header2", "40% OFF holiday patterns and fabric!",
         "Free-Quilting.com <enews@Free-Quilting.com>", "someone@live.com", "", ""),
    Mail("error_emails/content_transfer_encoding_7-bit",
         "Discover(R) Card News Online - January 2002",
         "Discover Card <discovercard_newsflash@discover.qrs1.net>", "emclaug@enron.com",
         "2002-01-10 02:47", "DISCOVERÆ CARD <>\nDISCOVERÆ CARD "),
    Mail("error_emails/content_transfer_encoding_spam", "",
         "neal ragland <shechem@poetrix.com>",
         "palmer vladi.Pimenovraud <vladi.Pimenov@enron.com>", "2001-08-19 13:31",
         "middagh  oldusercompare\nothermachine"),
    Mail("error_emails/content_transfer_encoding_text-html",
         "Re: We will help you refinance your home.",
         "chianfong cuthbert <abhijit.862153drinnan@datavalet.com>",
         "cvs@bruce-guenter.dyndns.org | rait@bruce-guenter.dyndns.org", "2005-05-06 11:55",
         "<>Hello,<p>\n\nYou have qualified"),
    Mail("error_emails/content_transfer_encoding_with_8bits", "The Original Advantage #e13011",
         "announcements@provantage.com <announcements@provantage.com>", "jeff_dasovich@enron.com",
         "2001-12-04 22:10", '<><html>\n<head>\n<meta name="description"'),
    Mail("error_emails/content_transfer_encoding_x_uuencode",  # its attachment is empty
         "PGP Comments on RTO West Release of Dec. 14", "Lon L. Peters <lpeters@PACIFIER.COM>",
         "RRGA-L@LIST.RTOWEST.ORG", "2002-01-10 21:59", "Attached are the comments of",
         "PGP_Cmts_on_12-14-01_Pkg.doc 0"),
    Mail("error_emails/empty_group_lists", "Western Union Swift Money Transfer",
         "Cecil Edwards <ceciledwards@sbcglobal.net>", "", "2009-12-03 18:50",
         "Attention Beneficiary:\n\xa0\nThis is to officially<><table cellspacing"),
    Mail("error_emails/header_fields_with_empty_values", "Testmail",
         "Jørn Støylen <jorn@prikkprikkprikk.no>", "AF Test <aftest@adfontesmedier.no>",
         "2009-10-30 19:07", "\n\n--\nJørn Støylen -- http://www"),
    Mail("error_emails/invalid_subject_characters",
         "Formação FrenetikPolis: Mega Campanha Final Verão | Cursos de Setembro",
         "Formação Frenetikpolis <info@formacaofrenetik.info>",
         "martin@internet.ao | iris@internet.ao | support@maxnet.ao", "", "TEST\n"),
    Mail("error_emails/missing_body", "REDACTED", "SCS_2 <redacted@attglobal.net>", "",
         "2001-11-27 23:02", "\n"),
    Mail("error_emails/missing_content_disposition", "Redacted", "redacted@example.com",
         "redacted@example.com", "2002-01-22 14:35", "", "somefile.jpg 1311"),
    Mail("error_emails/multiple_content_types", "Redacted", "redacted@flashmail.net",
         "redacted@Enron.com", "", "foo\n<><p>foo</p>"),
    Mail("error_emails/multiple_invalid_content_dispositions", "Redacted",
         "redacted@flashmail.net", "redacted@Enron.com", "", "<><p>foo</p>"),
    Mail("error_emails/new_line_in_to_header", "[Online Lead] Online Lead #1111111",
         "l@gcn-example.com", "leads@sg.dc.com | sag@leads.gs.ry.com | sn@example-hotmail.com | "
         "e-s-a-g-8718@app.ar.com | jp@t-exmaple.com | cc@c-l-example.com", "2010-10-13 14:53",
         "<?xml version"),
    Mail("error_emails/trademark_character_in_subject", "GA.comô has a lead for you",
         "j@yahoo-example.com", "c@ra-example.com | e-r-w-a-4462@app.ar.com | leads@ga-example.com",
         "2010-10-12 16:21", "Body Text - not important"),
    Mail("error_emails/weird_to_header", "", "anonymous@i.tp.host",
         "user-example@aol.com | e-s-a-s-2200@app.ar.com", "2010-10-15 03:25", "\nCONTACT:\n"),
    Mail("mime_emails/email_with_similar_boundaries", "Xxxxxx", "Xxxxx <xxxxxx@xxxxxxxx.xxx>",
         "xxxxxxx@xxxxxxxxxxx.xxx", "2012-04-06 01:01", "Test\n<><!DOCTYPE html", "LOGO.png 3"),
    Mail("mime_emails/raw_email11", "worse when you use them.", "xxxxx@xxxxx <xxxxx@xxxxx>",
         '"xxxxx@xxxxx" <matmail>', "2005-04-27 21:15", "\nXXXXX Xxxxx\n"),
    Mail("mime_emails/raw_email2", "Fwd: Signed email causes file attachments",
         "xxxxxxxxx xxxxxxx <xxxxxxxxx.xxxxxxx@gmail.com>", "xxxxx xxxx <xxxxx@xxxxxxxxx.com>",
         "2005-05-08 19:09", "We should not include", "smime.p7s 2361"),
    Mail("mime_emails/raw_email4", "Filth", "xxx@xxxx.xxx", "xxx@xxxx.xxx", "2005-05-08 17:30",
         "Some text\n\n--\nThis Orange Multi Media Message"),
    Mail("mime_emails/raw_email7", "testing", FOO, BLAH, "2005-06-06 20:21", TEXT_ONE,
         "test.rb 25 | test.pdf 14 | smime.p7s 227"),
    Mail("mime_emails/raw_email_encoded_stack_level_too_deep",
         "Nicolas Fouché has accepted your invitation to Gmail",
         "Gmail Team <gmail-noreply@google.com>", "Nicolas Fouché <a.b@gmail.com>",
         "2005-06-28 08:02", 'Nicolas Fouché has accepted<><html>\n<font face="Arial'),
    Mail("mime_emails/raw_email_with_binary_encoded", "Testing outlook",
         "Mikel Lindsaar <email_test@me.nowhere>", "mikel@me.nowhere", "2007-10-21 09:38", "",
         "2013-08-13_19-08-28-1.jpg 24"),
    Mail("mime_emails/raw_email_with_illegal_boundary", "Testing outlook",
         "Mikel Lindsaar <email_test@me.nowhere>", "mikel@me.nowhere", "2007-10-21 09:38",
         "Hello\nThis is an outlook test\n\nSo there.\n\nMe.\n<><!DOCTYPE HTML"),
    Mail("mime_emails/raw_email_with_mimepart_without_content_type",
         "Warning: could not send message for past 1 day",
         "Mail Delivery Subsystem <MAILER-DAEMON@antivirus.uqam.ca>", "roor32@gmail.com",
         "2006-10-20 08:28", "    ****", "attachment-1.txt 322 | Est-ce toi _.eml 1548"),
    Mail("mime_emails/raw_email_with_nested_attachment", "Testing attachments",
         "Jamis Buck <jamis@37signals.com>", "Jamis Buck <jamis@jamisbuck.org>",
         "2007-02-22 18:20", "Here is a test of an attachment via email.",
         "truncated.png 1902 | smime.p7s 939"),
    Mail("mime_emails/sig_only_email", "Re: Testing multipart/signed",
         "Test <test@test.lindsaar.net>", "Mikel <mikel@test.lindsaar.net>", "2007-06-04 22:01",
         "This is random text", "signature.asc 197"),
    Mail("multi_charset/japanese", "まみむめも", "Mikel Lindsaar <raasdnil@gmail.com>",
         "みける <raasdnil@gmail.com>", "", "かきくえこ\n\n-- \nhttp://lindsaar.net/"),
    Mail("multi_charset/japanese_attachment", "testing", "Mikel Lindsaar <raasdnil@gmail.com>",
         "Mikel Lindsaar <raasdnil@gmail.com>", "2009-10-16 12:39", "testing\n\n-- ",
         "てすと.txt 33"),
    Mail("multi_charset/japanese_attachment_long_name", "まみむめも" * 10,
         "Mikel Lindsaar <mikel@test.lindsaar.net>", "Mikel Lindsaar <raasdnil@gmail.com>",
         "2009-10-30 08:11", "", "かきくけこ" * 5 + ".txt 18"),
    Mail("multi_charset/japanese_iso_2022", "まみむめも", "Mikel Lindsaar <raasdnil@gmail.com>",
         "みける <raasdnil@gmail.com>", "", "すみません。"),
    Mail("multi_charset/japanese_shift_jis", "test", "xxxxxxx@docomo.ne.jp",
         "unknown@example.com", "2014-05-28 08:18",
         "あいうえお\n\nこのメールはテスト用のメールです。\n\n今後ともよろしくお願い申し上げます！"),
    Mail("multi_charset/ks_c_5601-1987", "test", "from@example.com", "unknown@example.com",
         "2014-05-28 08:18", "스티해"),
    Mail("multipart_report_emails/multi_address_bounce1", "Undelivered Mail Returned to Sender",
         "Mail Delivery System <MAILER-DAEMON@lvmail01.LL.com>", "rahul.chaudhari@LL.com",
         "2010-02-24 06:16", "This is the mail system at host lvmail01.LL.com.",
         "attachment-1.txt 2780 | Test of bounce email.eml 1381"),
    Mail("multipart_report_emails/report_422",
         "Warning: could not send message for past 8 hours",
         "Mail Delivery Subsystem <MAILER-DAEMON@tppppp.com.au>", "jennifer@sss.sssssss.net.au",
         "2008-01-16 16:40", REPORT_LINE, "attachment-1.txt 337 | attachment-2.txt 686"),
    Mail("plain_emails/mix_caps_content_type", "undef method parameter bug",
         "Big Bug <bb@bug.com>", "rubymail@ruby-lang.org", "2010-02-19 07:08", "foo bar\n"),
    Mail("plain_emails/raw_email", "NOTE: 한국말로 하는 것", "Jamis Buck <jamis@37signals.com>",
         "willard15georgina@jamis.backpackit.com", "2005-05-02 22:07", KOREAN),
    Mail("plain_emails/raw_email_bad_time", "[0]: XXXXXXX XXXXX XXXXX !",
         "Атиковa <yusuf75thu@auracom.net>", "abcdefg@AAAAAAAAA.net", "",
         "\nFilter2: This message<><!DOCTYPE HTML"),
    Mail("plain_emails/raw_email_incorrect_header", "Stop adware/spyware once and for all.",
         "xxx xxx <xxx@xxx.xxx>", "xxx@xxx.com", "2005-02-23 22:20", "You are infected with: \n"),
    Mail("plain_emails/raw_email_multiple_from", "/home/svn/public/minebox revision 214",
         "tim@powerupdev.com", "tim@powerupdev.com | concierge@powerupdev.com",
         "2007-10-22 23:45", "<p><b>recordkick</b>"),
    Mail("plain_emails/raw_email_with_at_display_name", "Testing 123",
         "Mikel Lindsaar <test@lindsaar.net>",
         "smith@gmail.com | Mikel@Lindsaar <raasdnil@gmail.com> | tom@gmail.com",
         "2008-11-22 04:04", "Plain email.\n\nHope it works well!"),
    Mail("plain_emails/raw_email_with_partially_quoted_subject",
         'Re: Test: "漢字" mid "漢字" tail', "Jamis Buck <jamis@37signals.com>",
         "jamis@37signals.com", "2005-05-02 22:07", KOREAN),
    Mail("plain_emails/raw_email10", "", "xxx@xxxx.xxx", "xxxxxxxxxxx@xxxx.xxxx.xxx",
         "2005-05-10 20:27", "Test test. Hi. Waving. m\n"),
    Mail("rfc2822/example03", "", "Joe Q. Public <john.q.public@example.com>",
         'Mary Smith <mary@x.test> | jdoe@example.org | Who? <one@y.test> | boss@nil.test | '
         'Giant; "Big" Box <sysservices@example.net>', "2003-07-01 08:52", "Hi everyone.\n"),
    Mail("rfc2822/example04", "", "Pete <pete@silly.example>",
         "Chris Jones <c@a.test> | joe@where.test | John <jdoe@one.test>", "1969-02-14 03:02",
         "Testing.\n"),
    Mail("rfc2822/example10", "", "Pete <pete@silly.test>",
         "Chris Jones <c@public.example> | joe@example.org | John <jdoe@one.test>",
         "1969-02-14 03:02", "Testing.\n"),
    Mail("rfc2822/example11", "", "Joe Q. Public <john.q.public@example.com>",
         "Mary Smith <mary@example.net> | jdoe@test.example", "2003-07-01 08:52", "Hi everyone.\n"),
    Mail("rfc2822/example13", "Saying Hello", "John Doe <jdoe@machine.example>",
         "Mary Smith <mary@example.net>", "1997-11-21 15:55", HELLO),
    Mail("rfc2822/example14", "Re: TEST テストテスト", "Atsushi Yoshida <atsushi@example.com>",
         "rudeboyjet@gmail.com", "2011-08-19 01:47", "Hello\n"),
    Mail("rfc6532/utf8_headers", "Säying Hello", "Jöhn Doe <jdöe@mächine.example>",
         "Märy Smith <märy@exämple.net>", "", "body"),
]
# fmt: on


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_message_of_the_corpus_stops_a_mailbox(path: Path) -> None:
    try:
        message = parse(path.read_bytes())
    except UnreadableMessage:
        return
    assert "\0" not in repr(message)
    assert parse(path.read_bytes().replace(b"\r\n", b"\n")).fingerprint == message.fingerprint


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.file)
def test_a_message_of_the_corpus_says_what_its_source_says(mail: Mail) -> None:
    message = parse((CORPUS / f"{mail.file}.eml").read_bytes())
    parties = [
        (party.role, f"{party.name} <{party.address}>" if party.name and party.address
         else party.address or party.name)
        for party in message.parties
    ]  # fmt: skip
    text, _, html = mail.body.partition("<>")
    assert message.subject == mail.subject
    assert next((who for role, who in parties if role is Role.SENDER), "") == mail.sender
    assert " | ".join(who for role, who in parties if role is not Role.SENDER) == mail.recipients
    assert (f"{message.sent_at:%Y-%m-%d %H:%M}" if message.sent_at else "") == mail.sent
    assert message.text.startswith(text)
    assert message.html.startswith(html)
    assert bool(message.text.strip()) == bool(text.strip())
    assert bool(message.html) == bool(html)
    files = [f"{file.filename} {len(file.content)}" for file in message.attachments]
    assert " | ".join(files) == mail.files
