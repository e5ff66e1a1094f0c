"""Tracking tokens: how they are made, kept in a subject and found again (REFERENCE 3D)."""

import pytest

from syncservice.domain.tracking_token import (
    LONGEST_SUBJECT,
    LONGEST_TOKEN,
    MOST_TOKENS,
    Scheme,
    with_token,
)

CRM = Scheme()
TOKEN = "CRM:0001001"


@pytest.mark.parametrize(
    ("scheme", "user", "count", "token"),
    [
        pytest.param(CRM, 1, 1, TOKEN, id="the first email of the first user"),
        pytest.param(CRM, 12, 34, "CRM:0012034", id="numbers are filled with zeros"),
        pytest.param(CRM, 1, 999, "CRM:0001999", id="the last number of a counter"),
        pytest.param(CRM, 1, 1000, "CRM:0001000", id="a counter begins again at zero"),
        pytest.param(CRM, 1, 1001, TOKEN, id="so tokens repeat"),
        pytest.param(CRM, 1000, 1, "CRM:01000001", id="a large user number takes more digits"),
        pytest.param(Scheme(base=500), 1, 1, "CRM:0501001", id="a deployment's base is added"),
        pytest.param(Scheme(user_digits=1), 1, 1, "CRM:01001", id="digits for users"),
        pytest.param(Scheme(counter_digits=5), 1, 1, "CRM:000100001", id="digits for counters"),
        pytest.param(Scheme(counter_digits=1), 1, 10, "CRM:00010", id="a short counter wraps soon"),
        pytest.param(Scheme(prefix="Case #"), 1, 1, "Case #0001001", id="any prefix"),
    ],
)
def test_composition(scheme: Scheme, user: int, count: int, token: str) -> None:
    assert scheme.token(user, count) == token
    assert scheme.tokens_in(f"Offer {token}") == (token,)


def test_the_longest_token_fits_its_column_and_is_found_again() -> None:
    scheme = Scheme(prefix="P" * 20, base=2**31 - 1, user_digits=10, counter_digits=9)
    token = scheme.token(2**31 - 1, 10**9 - 1)
    assert len(token) <= LONGEST_TOKEN
    assert scheme.tokens_in(f"Re: Offer {token}") == (token,)


RENAMED = Scheme(prefix="NEW:", earlier_prefixes=("CRM:", "CRM:X"))


@pytest.mark.parametrize(
    ("scheme", "subject", "tokens"),
    [
        pytest.param(CRM, "", (), id="no subject"),
        pytest.param(CRM, "Offer", (), id="no token"),
        pytest.param(CRM, TOKEN, (TOKEN,), id="nothing else"),
        pytest.param(CRM, f"Re: AW: Fwd: Offer {TOKEN}", (TOKEN,), id="behind Re: and Fwd:"),
        pytest.param(CRM, f"Re:{TOKEN}", (TOKEN,), id="close behind a colon"),
        pytest.param(CRM, f"Offer ({TOKEN}), please", (TOKEN,), id="between punctuation"),
        pytest.param(CRM, f"Offer {TOKEN}a", (TOKEN,), id="before a letter"),
        pytest.param(CRM, "re: offer crm:0001001", (TOKEN,), id="small letters of a mail program"),
        pytest.param(CRM, f"{TOKEN} and CRM:0001002", ("CRM:0001002", TOKEN), id="the last first"),
        pytest.param(CRM, f"{TOKEN} {TOKEN}", (TOKEN,), id="each once"),
        pytest.param(CRM, "Offer CRM:0001001" + "9" * 15, (), id="not inside a longer number"),
        pytest.param(CRM, f"Offer X{TOKEN}", (), id="not inside a word"),
        pytest.param(CRM, "Offer CRM: 0001001", (), id="not with a space in it"),
        pytest.param(CRM, "Offer CRM:٠٠٠١٠٠١", (), id="not in other digits"),
        pytest.param(CRM, "Offer CRM:01", (), id="not shorter than any token"),
        pytest.param(RENAMED, f"Re: {TOKEN}", (TOKEN,), id="an earlier prefix is known still"),
        pytest.param(RENAMED, "Re: NEW:0001001", ("NEW:0001001",), id="beside the present one"),
        pytest.param(RENAMED, "Re: CRM:X001", ("CRM:X001",), id="the longer prefix is read first"),
        pytest.param(
            Scheme(prefix="CRM:", earlier_prefixes=("Crm:",)), "crm:0001001",
            ("CRM:0001001", "Crm:0001001"), id="a prefix that changed its capitals is both",
        ),
        pytest.param(
            Scheme(prefix="C.M+"), "Re: CRM:0001001 C.M+0001001", ("C.M+0001001",),
            id="a prefix is no pattern",
        ),
        pytest.param(Scheme(prefix=""), "Call 0001001", (), id="without a prefix there are none"),
        pytest.param(
            Scheme(prefix="SUP:"), "Re: ſup:0001001", ("SUP:0001001",),
            id="a letter that is no other's small one",
        ),
    ],
)  # fmt: skip
def test_tokens_in_a_subject(scheme: Scheme, subject: str, tokens: tuple[str, ...]) -> None:
    assert scheme.tokens_in(subject) == tokens


def test_a_subject_full_of_tokens_is_read_from_its_end() -> None:
    """A stranger's subject must not make us look for thousands."""
    subject = " ".join(f"CRM:{number:07}" for number in range(5000))
    assert CRM.tokens_in(subject) == tuple(
        f"CRM:{4999 - number:07}" for number in range(MOST_TOKENS)
    )


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param("Offer", f"Offer {TOKEN}", id="behind the subject"),
        pytest.param("", TOKEN, id="or for one"),
        pytest.param(f"Re: Offer {TOKEN}", f"Re: Offer {TOKEN}", id="once in an answer"),
        pytest.param(f"{TOKEN}9", f"{TOKEN}9 {TOKEN}", id="a longer number is another token"),
        pytest.param("Offer CRM:0001002", f"Offer CRM:0001002 {TOKEN}", id="beside an older one"),
        pytest.param("x" * 300, "x" * 243 + f" {TOKEN}", id="a long subject is cut, not the token"),
        pytest.param("x" * 300 + TOKEN, "x" * 243 + f" {TOKEN}", id="even when it ends with it"),
        pytest.param(
            "x" * 300 + f" {TOKEN}", "x" * 243 + f" {TOKEN}", id="and the token is not cut away"
        ),
    ],
)
def test_a_token_is_put_into_a_subject(subject: str, expected: str) -> None:
    assert with_token(subject, TOKEN) == expected
    assert len(expected) <= LONGEST_SUBJECT
    assert TOKEN in CRM.tokens_in(expected)


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        pytest.param("Offer", f"offer  {TOKEN}", True, id="before and after it got its token"),
        pytest.param(f"Offer {TOKEN}", "Offer CRM:0001002", True, id="with another token"),
        pytest.param("Offer", "Re: Offer", False, id="an answer is another email"),
        pytest.param("Offer 1", "Offer 2", False, id="and so is the next offer"),
        pytest.param("", TOKEN, True, id="without any words"),
        pytest.param(
            "word " * 60, with_token("word " * 60, TOKEN), True, id="cut to make room for a token"
        ),
    ],
)
def test_subjects_of_one_email_are_alike_but_for_tokens(one, other, is_alike) -> None:
    assert (CRM.bare(one) == CRM.bare(other)) is is_alike
