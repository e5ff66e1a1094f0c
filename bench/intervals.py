"""A day of 100,000 mailboxes against a fake clock: when each is visited, by the real rules.

Mailboxes are nearly silent, ordinary, busy and very busy; all are added at once, and at noon comes
an outage of half an hour. Nothing is fetched: what is looked at is the time between two starts of a
mailbox, and how even the load is. `--picture` draws both.
"""

import argparse
import heapq
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from syncservice.domain.polling import Activity, Pace, next_rest, next_start, phase_of

#: Share of the mailboxes, and messages an hour.
KINDS = ((0.60, 0.1), (0.30, 4.0), (0.08, 40.0), (0.02, 400.0))
DISPATCHES_A_SECOND = 5000  # after an import or an outage
LATEST_DISPATCH = 1.0  # seconds after the due time, in steady state
OUTAGE = timedelta(minutes=30)
VISIT_TAKES = 200  # messages; the rest waits for the next visit
SETTLED = 90  # minutes after an import or an outage until the load is even again
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(slots=True)
class Result:
    """What the day showed. Intervals are between the starts of two visits, in seconds."""

    visits: int = 0
    shortest: float = math.inf
    longest: float = 0.0
    total: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)  # half minutes
    minutes: Counter[int] = field(default_factory=Counter)  # visits by minute of the day
    outage: tuple[float, float] = (0.0, 0.0)  # minutes

    def deviation(self) -> float:
        """Give the farthest that a settled minute lies from the mean of its hour, as a share."""
        last = max(self.minutes)
        begin, end = self.outage
        worst = 0.0
        for minute in range(SETTLED, last - 30):
            if begin - 30 <= minute <= end + SETTLED + 30:
                continue
            mean = sum(self.minutes[other] for other in range(minute - 30, minute + 30)) / 60
            worst = max(worst, abs(self.minutes[minute] - mean) / mean)
        return worst


def simulate(mailboxes: int, hours: float, seed: int = 1) -> Result:
    """Let the rules decide for so long; `seed` makes the mail the same each time."""
    dice = random.Random(seed)
    pace = Pace()
    end = hours * 3600
    outage = (end / 2, end / 2 + OUTAGE.total_seconds())
    result = Result(outage=(outage[0] / 60, outage[1] / 60))
    rates = list(_rates(mailboxes, dice))
    phases = [phase_of(number, "incoming") for number in range(mailboxes)]
    activity = [Activity()] * mailboxes
    backlog = [0] * mailboxes
    before = [math.nan] * mailboxes  # the last start
    due = [(number / DISPATCHES_A_SECOND, number) for number in range(mailboxes)]
    catching_up_to = outage[1]
    while due and due[0][0] < end:
        due_at, number = heapq.heappop(due)
        start = due_at + dice.random() * LATEST_DISPATCH
        after_outage = outage[0] <= start < catching_up_to + LATEST_DISPATCH
        if after_outage:  # the oldest first, as fast as a beat dispatches
            start = catching_up_to = max(catching_up_to + 1 / DISPATCHES_A_SECOND, start)
        result.visits += 1
        result.minutes[int(start // 60)] += 1
        since = start - before[number]
        if since == since and not after_outage:  # NaN: the first visit
            result.total += since
            result.shortest = min(result.shortest, since)
            result.longest = max(result.longest, since)
            result.bins[int(since // 30)] += 1
        arrived = _poisson(rates[number] * (0.0 if since != since else since) / 3600, dice)
        waiting = backlog[number] + arrived
        items = min(waiting, VISIT_TAKES)
        backlog[number] = waiting - items
        activity[number] = activity[number].after(items)
        rest = next_rest(items, backlog[number] > 0, activity[number], pace)
        begun = BEGIN + timedelta(seconds=start)
        again = next_start(begun, rest, phases[number], pace)
        before[number] = start
        heapq.heappush(due, (start + (again - begun).total_seconds(), number))
    return result


def _rates(mailboxes: int, dice: random.Random) -> Iterator[float]:
    for _ in range(mailboxes):
        yield dice.choices([rate for _, rate in KINDS], [share for share, _ in KINDS])[0]


def _poisson(mean: float, dice: random.Random) -> int:
    """Draw how many messages came; many are drawn from the normal distribution."""
    if mean > 30:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, dice.random()
    while product > limit:
        count += 1
        product *= dice.random()
    return count


def draw(result: Result, mailboxes: int, picture: Path) -> None:
    """Draw the intervals and the load."""
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 3.8), width_ratios=(1, 1.6))
    share = [100 * result.bins[half] / result.bins.total() for half in range(28)]
    left.bar([half / 2 + 0.25 for half in range(28)], share, width=0.46, color="#33658a")
    for promise in (2, 12):
        left.axvline(promise, color="#c8553d", linewidth=1, linestyle="--")
    left.set(
        title="Between two visits of a mailbox",
        xlabel="minutes (dashed: the promise)",
        ylabel="% of the intervals",
        xticks=range(0, 15, 2),
    )
    minutes = range(max(result.minutes))
    visits = [result.minutes[minute] for minute in minutes]
    right.plot([minute / 60 for minute in minutes], visits, color="#33658a", linewidth=0.8)
    usual = sorted(visits)[len(visits) // 2]
    right.set(
        title=f"Visits a minute of {mailboxes:,} mailboxes",
        xlabel="hours since all were added at once; servers away for half an hour at noon",
        ylabel="visits a minute",
        ylim=(0, usual * 2.2),
        xticks=range(0, 25, 2),
    )
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    result = simulate(options.mailboxes, options.hours)
    print(
        f"intervals  mailboxes={options.mailboxes}  hours={options.hours:g}  "
        f"visits={result.visits}  shortest={result.shortest / 60:.2f}min  "
        f"longest={result.longest / 60:.2f}min  "
        f"mean={result.total / result.bins.total() / 60:.2f}min  "
        f"load_deviation={100 * result.deviation():.1f}%  "
        f"seconds={time.perf_counter() - began:.0f}"
    )
    if options.picture:
        draw(result, options.mailboxes, options.picture)


if __name__ == "__main__":
    main()
