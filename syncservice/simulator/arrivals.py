"""New mail arriving at a simulated Exchange all the time, some mailboxes more than others.

`python -m syncservice.simulator.arrivals URL ADDRESS…` runs until it is ended.
"""

import argparse
import random
import time

from syncservice.simulator.exchange.control import SimulatorControl
from syncservice.simulator.letters import Letters


def main() -> None:
    """Deliver letters; every fifth mailbox is busy, every third quiet, as in an organisation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--per-minute", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()

    control = SimulatorControl(options.url)
    letters = Letters(options.seed)
    dice = random.Random(options.seed)  # noqa: S311 # invention, not secrecy
    weights = [
        12 if number % 5 == 0 else 0.2 if number % 3 == 0 else 1
        for number in range(len(options.addresses))
    ]
    while True:
        (address,) = dice.choices(options.addresses, weights)
        control.deliver(address, letters.write(address, options.addresses))
        time.sleep(dice.expovariate(options.per_minute / 60))


if __name__ == "__main__":
    main()
