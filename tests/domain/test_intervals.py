"""A day of mailboxes by the real rules and a fake clock; `bench/intervals.py` does 100,000."""

import math

from bench.intervals import simulate

MAILBOXES = 3000


def test_in_a_whole_day_no_mailbox_is_visited_too_soon_or_too_late_and_the_load_is_even():
    day = simulate(MAILBOXES, hours=24)
    assert day.visits > MAILBOXES * 24 * 5
    assert day.shortest >= 120
    assert day.longest <= 720
    # 10 % is the promise for 100,000; so few mailboxes make noise of their own.
    a_minute = day.visits / (24 * 60)
    assert day.deviation() < 0.10 + 4 / math.sqrt(a_minute)
