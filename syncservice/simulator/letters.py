"""Lifelike mail from invented people, for the demo: replies, HTML, files, several languages."""

import random
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, make_msgid

from faker import Faker

_LANGUAGES = ["en_GB", "nl_NL", "de_DE", "fr_FR", "pl_PL", "ja_JP"]
_SUBJECTS = [
    "Question about order {number}",
    "Quotation {number}",
    "Delivery of {day}",
    "Appointment on {day}?",
    "Invoice {number}: a remark",
    "Thank you for {day}",
    "Complaint about {number}",
    "Vraag over bestelling {number} – graag antwoord",
]


class Letters:
    """Writes letters; the same `seed` writes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 # invention, not secrecy
        self._fakers = []
        for number, language in enumerate(_LANGUAGES):
            faker = Faker(language)
            faker.seed_instance(seed + number)
            self._fakers.append(faker)
        self._threads: list[tuple[str, str]] = []  # subject, Message-ID

    def write(self, to: str, others: list[str]) -> bytes:
        """Write one message to `to`, sometimes with a copy to one of `others`."""
        faker = self._random.choice(self._fakers)
        message = EmailMessage()
        domain = faker.ascii_safe_domain_name() if hasattr(faker, "ascii_safe_domain_name") else ""
        domain = domain or "customer.example"
        name = faker.name()
        message["From"] = formataddr((name, f"{faker.ascii_safe_email().split('@')[0]}@{domain}"))
        message["To"] = to
        if others and self._random.random() < 0.15:
            message["Cc"] = self._random.choice(others)
        subject, parent = self._subject(faker)
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=domain)
        if parent:
            message["In-Reply-To"] = message["References"] = parent
        self._write_body(message, faker, name)
        self._threads = [*self._threads[-200:], (subject, message["Message-ID"])]
        return message.as_bytes()

    def _subject(self, faker: Faker) -> tuple[str, str]:
        if self._threads and self._random.random() < 0.3:
            subject, parent = self._random.choice(self._threads)
            return (subject if subject.startswith("Re: ") else f"Re: {subject}"), parent
        pattern = self._random.choice(_SUBJECTS)
        number = self._random.randint(10_000, 99_999)
        return pattern.format(number=number, day=faker.day_of_week()), ""

    def _write_body(self, message: EmailMessage, faker: Faker, name: str) -> None:
        paragraphs = faker.paragraphs(self._random.randint(1, 5))
        message.set_content("\n\n".join([*paragraphs, name]))
        if self._random.random() < 0.5:
            body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
            message.add_alternative(f"<html><body>{body}<p><b>{name}</b></p></body></html>", "html")
        if self._random.random() < 0.2:
            message.add_attachment(
                self._random.randbytes(self._random.randint(500, 40_000)),
                maintype="application",
                subtype="pdf",
                filename=f"{faker.word()}-{self._random.randint(1, 99)}.pdf",
            )
