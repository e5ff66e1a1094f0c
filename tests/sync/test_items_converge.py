"""Both sides agree once it is quiet, whatever happened before; see `histories`."""

import pytest

from tests.sync.histories import History

pytestmark = pytest.mark.django_db(transaction=True)
#: Histories of one test: their seeds follow each other.
AT_ONCE = 10


def replay(seeds: range) -> None:
    for seed in seeds:
        history = History(seed)
        try:
            history.run()
        except AssertionError as error:
            steps = " ".join(history.steps)
            raise AssertionError(f"History({seed}).run(): {error}; it was: {steps}") from error


@pytest.mark.parametrize("first", range(0, 100, AT_ONCE))
def test_a_hundred_histories(first):
    replay(range(first, first + AT_ONCE))


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 3000, 50))
def test_two_thousand_histories(first):
    replay(range(first, first + 50))
