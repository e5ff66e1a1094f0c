"""Which emails belong together by their words and addresses alone (REFERENCE 3E)."""

import pytest

from syncservice.domain.smart_matching import MOST_ADDRESSES, SmartMatching

DEFAULT = SmartMatching()
ANN, BOB, EVE = "ann@customer.test", "bob@example.test", "eve@example.test"
BOTH = (ANN, BOB)


def matches(
    settings: SmartMatching, one: str, other: str, ones: tuple[str, ...] = BOTH,
    others: tuple[str, ...] = BOTH,
) -> bool:  # fmt: skip
    hashes = settings.hashes(one, ones), settings.hashes(other, others)
    score = settings.score(*hashes)
    assert (settings.score(*reversed(hashes)) is None) == (score is None)
    return score is not None


@pytest.mark.parametrize(
    ("one", "other", "do_match"),
    [
        pytest.param("Offer for you", "Offer for you", True, id="one subject"),
        pytest.param("Offer for you", "Re: Offer for you", True, id="an answer"),
        pytest.param("Offer for you", "RE: AW: Fwd : offer FOR you", True, id="marks and letters"),
        pytest.param("Offer for you", " Re:Re:Offer for  you ", True, id="spaces"),
        pytest.param("Offer for you", "you for Offer", True, id="another order of words"),
        pytest.param("Réponse: Offer", "Offer", True, id="a mark in another language"),
        pytest.param("Offer", "Offer: for you", False, id="a word with a colon is a mark"),
        pytest.param("Offer for you", "Offer for them", False, id="another word"),
        pytest.param("Offer for you", "Offer for", False, id="a word less"),
        pytest.param("Offer", "Out of office: Offer", False, id="Out of office: is no mark"),
        pytest.param("Offer CRM:0001001", "Offer", False, id="a token is a word"),
        pytest.param("", "", False, id="two without a subject"),
        pytest.param("Re: ", "Fwd:", False, id="two of nothing but marks"),
    ],
)
def test_subjects(one: str, other: str, do_match: bool) -> None:
    assert matches(DEFAULT, one, other) is do_match


def test_a_token_after_a_mark_counts_as_a_word() -> None:
    assert matches(DEFAULT, "Offer CRM:0001001", "Re: Offer CRM:0001001")


@pytest.mark.parametrize(
    ("delta", "other", "do_match"),
    [
        (0, "one two three", True),
        (0, "one two three four", False),
        (1, "one two three four", True),
        (1, "one two", True),
        (1, "one two three four five", False),
        (2, "one two three four five", True),
        (9, "four five", False),  # no word in common
    ],
)
def test_so_many_words_may_be_missing_or_more(delta: int, other: str, do_match: bool) -> None:
    assert matches(SmartMatching(delta_words=delta), "one two three", other) is do_match


@pytest.mark.parametrize(
    ("settings", "others", "do_match"),
    [
        pytest.param(DEFAULT, (ANN,), False, id="one address in common is too few"),
        pytest.param(DEFAULT, (ANN, EVE), False, id="and two are not the same by number"),
        pytest.param(DEFAULT, (EVE, BOB, ANN), True, id="others may be there too"),
        pytest.param(DEFAULT, ("ANN@customer.test", BOB), True, id="capital letters"),
        pytest.param(DEFAULT, (ANN, ANN), False, id="an address counts once"),
        pytest.param(DEFAULT, (ANN, ""), False, id="no address is none in common"),
        pytest.param(SmartMatching(min_addresses=1), (ANN,), True, id="an organisation wants one"),
        pytest.param(SmartMatching(min_addresses=3), BOTH, False, id="or three"),
        pytest.param(SmartMatching(min_addresses=0), (EVE,), False, id="but never none"),
        pytest.param(SmartMatching(min_addresses=0), (ANN,), True, id="then one is enough"),
    ],
)
def test_addresses(settings: SmartMatching, others: tuple[str, ...], do_match: bool) -> None:
    assert matches(settings, "Offer", "Offer", others=others) is do_match


def test_words_beyond_the_most_do_not_count() -> None:
    settings = SmartMatching(max_words=3)
    assert matches(settings, "one two three four", "one two three five")
    assert not matches(settings, "one two three", "one two four")


def test_of_very_many_addresses_everyone_compares_the_same() -> None:
    """Parties are a set, and its order is another in each process."""
    many = tuple(f"user{number:02}@example.test" for number in range(MOST_ADDRESSES * 2))
    one, other = DEFAULT.hashes("Offer", many), DEFAULT.hashes("Offer", reversed(many))
    assert one == other
    assert len(one.addresses) == MOST_ADDRESSES


def test_the_score_is_told_in_words() -> None:
    settings = SmartMatching(delta_words=1)
    one = settings.hashes("Offer for you", BOTH)
    other = settings.hashes("Re: Offer for you again", (*BOTH, EVE))
    assert settings.score(one, other) == "3 of 4 words, 2 addresses"


@pytest.mark.parametrize(
    ("noise", "do_match"),
    [
        pytest.param(r"^\[ticket\]\s*", True, id="a pattern of an administrator's own"),
        pytest.param("", False, id="none"),
        pytest.param("[", False, id="one that can't be read strips nothing"),
    ],
)
def test_noise(noise: str, do_match: bool) -> None:
    assert matches(SmartMatching(noise=noise), "[Ticket] Offer", "Offer") is do_match


def test_hashes_fit_the_columns_that_keep_them() -> None:
    words = " ".join(map(str, range(1000)))
    hashes = SmartMatching(max_words=1000).hashes(words, map(str, range(20)))
    assert all(-(2**31) <= number < 2**31 for number in hashes.words | hashes.addresses)
