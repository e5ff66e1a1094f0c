"""One email: what it says, and nothing of what its sender would like to run."""

import re
from html.parser import HTMLParser

import pytest
from django.urls import reverse

from syncservice.console import letter
from tests import factories
from tests.console import records

pytestmark = pytest.mark.django_db

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='vbscript:x'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='da\tta:text/html,x'>x</a>",
    "<iframe src='https://evil.test'></iframe><object data=x></object><embed src=x>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<form action='https://evil.test'><input name=password><button formaction=x>Go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.test'>",
    "<base href='https://evil.test/'><link rel=stylesheet href='https://evil.test/x.css'>",
    "<style>@import 'https://evil.test/x'; body { background: url(https://evil.test/x) }</style>",
    "<p style='background:url(https://evil.test/x)'>x</p>",
    "<p style='color:red;width:expression(alert(1))'>x</p>",
    "<p style='border:u\\72l(https://evil.test/x)'>x</p>",
    "<p style='position:fixed;top:0;left:0;z-index:9999'>x</p>",
    "<table background='https://evil.test/x'><tr><td background='https://evil.test/y'>x</table>",
    "<img src='https://evil.test/x.gif' srcset='https://evil.test/y.gif 2x'>",
    "<img src='//evil.test/x.gif'><img src='/logout/'><img src=' HTTP://evil.test/x'>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<video src='https://evil.test/x' poster='https://evil.test/y'></video><audio src=x></audio>",
    "</body></html><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "{{ settings.SECRET_KEY }}{% debug %}",
    "<b onclick=alert(1) id=x class=y contenteditable>x</b>",
]


class Tags(HTMLParser):
    """Collects what a browser would see of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def page(staff, record):
    return staff.get(reverse("email", args=[record.pk])).text


def frame(staff, record):
    return staff.get(reverse("email_body", args=[record.pk]))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_body_runs_loads_and_sends_nothing(attack):
    seen = Tags(letter.clean(attack, {}).html)
    assert not {
        "script",
        "style",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "button",
        "meta",
    } & {*seen.elements}
    assert not {"base", "link", "svg", "math", "video", "audio"} & {*seen.elements}
    for name, value in seen.attributes:
        assert name in {"href", "style", "target", "rel", "alt", "title"}, name
        assert name != "href" or re.match("https?:|mailto:|tel:", value), value
        assert name != "style" or not re.search(r"url|expression|position|\\", value), value


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_subject_a_name_an_address_a_text_and_a_filename_are_only_text(staff, attack):
    box = factories.mailbox()

    def elements(text: str) -> list[list[str]]:
        record = records.email(
            box, subject=text, sender=text, address=text, text=text, repairs=[text]
        )
        records.attachment(record, filename=text)
        pages = [page(staff, record), staff.get(reverse("mailbox", args=[box.pk])).text]
        record.delete()
        return [Tags(html).elements for html in pages]

    assert elements(attack) == elements("harmless")


def test_the_frame_is_sandboxed_twice(staff):
    record = records.email(html="<b>Hello</b>")
    assert '<iframe class="body"' in page(staff, record)
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page(staff, record)
    response = frame(staff, record)
    policy = response.headers["Content-Security-Policy"]
    assert "<b>Hello</b>" in response.text
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline';")
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_pictures_from_the_internet_are_left_out_and_counted(staff):
    record = records.email(html="<img src=https://a.test/1><img src=http://a.test/2 alt=banner>")
    assert "2 pictures from the internet were not loaded" in page(staff, record)
    assert "a.test" not in frame(staff, record).text
    assert 'alt="banner"' in frame(staff, record).text


def test_a_picture_of_the_mail_itself_is_shown(staff):
    record = records.email(html="<img src='cid:logo@x'><img src='cid:missing'>")
    records.attachment(
        record, b"GIF89a", content_type="image/gif", content_id="<logo@x>", is_inline=True
    )
    assert 'src="data:image/gif;base64,R0lGODlh"' in frame(staff, record).text
    assert "from the internet" not in page(staff, record)


def test_a_drawing_that_may_hold_a_script_is_not_shown(staff):
    record = records.email(html="<img src='cid:x'>")
    records.attachment(record, b"<svg/>", content_type="image/svg+xml", content_id="<x>")
    assert "data:" not in frame(staff, record).text


def test_colours_and_tables_survive():
    html = '<td style="color:rgb(1, 2, 3);padding:4px" bgcolor="#eee" colspan="2">x</td>'
    cleaned = letter.clean(f"<table><tbody><tr>{html}</tr></tbody></table>", {}).html
    for kept in ("rgb(1, 2, 3)", "padding:4px", 'bgcolor="#eee"', 'colspan="2"'):
        assert kept in cleaned


def test_a_link_opens_elsewhere_and_tells_nobody_where_it_was():
    html = letter.clean("<a href='https://a.test/'>x</a>", {}).html
    assert 'target="_blank"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<p>" + "".join(f"<b id={i}>" for i in range(2000)) + "<p>x" * 2000, id="b"),
        pytest.param(
            "<p>" + "".join(f"<b x='>{i}'>" for i in range(2000)) + "<p>x" * 2000, id="quoted"
        ),
        pytest.param("<div>" * 50_000, id="deep"),
        pytest.param("x" * 3_000_000, id="long"),
    ],
)
def test_html_made_to_exhaust_us_is_not_shown_but_its_text_is(staff, html):
    record = records.email(html=html, text="What it says")
    shown = page(staff, record)
    assert "too long or too entangled to show" in shown
    assert "<iframe" not in shown
    assert "What it says" in shown
    assert len(frame(staff, record).text) < 2000


def test_an_ordinary_newsletter_is_shown():
    row = "<tr><td style='color:#123'><font size='2'><b>x</b> <a href='https://a.test'>y</a></font></td></tr>"
    assert letter.is_presentable(f"<table>{row * 1500}</table>")


def test_a_mail_shows_its_facts(staff):
    box = factories.mailbox(email_address="ann@example.test")
    record = records.email(
        box, sender="Bob", address="bob@example.test", repairs=["The date had no zone."]
    )
    records.attachment(record, b"x" * 2048, filename="plan.pdf")
    html = page(staff, record)
    for fact in ("A subject", "Bob", "bob@example.test", "plan.pdf", "2.0", "A text"):
        assert fact in html
    assert "The date had no zone." in html
    assert f'<a href="/mailboxes/{box.pk}/">ann@example.test</a>' in html


def test_a_mail_without_anything_is_no_error(staff):
    record = records.email(subject="", text="", sender="", address="", received_at=None)
    assert "(no subject)" in page(staff, record)
    assert "This message has no text." in page(staff, record)


def test_an_attachment_is_saved_and_never_shown(staff):
    record = records.email()
    records.attachment(record, b"<script>", filename="a.html", content_type="text/html")
    response = staff.get(reverse("attachment", args=[record.pk, 0]))
    assert response.content == b"<script>"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"] == 'attachment; filename="a.html"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        pytest.param("../../etc/passwd", "_.._etc_passwd", id="it stays in the download folder"),
        pytest.param("a\r\nSet-Cookie: x", "a__Set-Cookie_ x", id="it adds no header"),
        pytest.param("photo‮gpj.exe", "photo_gpj.exe", id="it is not written backwards"),
        pytest.param("", "attachment", id="it has a name"),
        pytest.param("résumé.pdf", "résumé.pdf", id="other letters stay"),
    ],
)
def test_a_filename_is_what_it_looks_like(staff, filename, shown):
    record = records.email()
    records.attachment(record, filename=filename)
    assert letter.plain_name(filename) == shown
    assert staff.get(reverse("attachment", args=[record.pk, 0])).status_code == 200
    assert shown in page(staff, record)


def test_an_attachment_belongs_to_its_email(staff):
    other = records.email()
    records.attachment(records.email())
    assert staff.get(reverse("attachment", args=[other.pk, 0])).status_code == 404
