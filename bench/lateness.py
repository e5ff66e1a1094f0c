"""How late visits start in steady state: a real beat, 100,000 mailboxes, infinitely fast workers.

Mailboxes are due evenly over five minutes. Instead of workers one statement every few
milliseconds ends the claims that were published, and makes each mailbox due five minutes after it
was due before. Lateness is the time from then to its claim.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from base64 import b64decode

from bench.dispatch import fill
from bench.environment import servers

_SPREAD = """
CREATE TABLE bench_due (mailbox_id bigint PRIMARY KEY, due_at timestamptz);
CREATE TABLE bench_lateness (seconds double precision);
UPDATE mailboxes_schedule SET due_at = now() + random() * interval '5 minutes';
INSERT INTO bench_due SELECT mailbox_id, due_at FROM mailboxes_schedule;
"""
_END_CLAIMS = """
WITH ended AS (
  UPDATE mailboxes_schedule AS schedule
  SET claimed_at = NULL, due_at = known.due_at + interval '5 minutes'
  FROM bench_due AS known, mailboxes_schedule AS before
  WHERE schedule.mailbox_id = ANY(%(boxes)s) AND known.mailbox_id = schedule.mailbox_id
    AND before.id = schedule.id AND schedule.claimed_at IS NOT NULL
  RETURNING schedule.mailbox_id, schedule.due_at, before.claimed_at - known.due_at AS lateness
), noted AS (
  INSERT INTO bench_lateness SELECT extract(epoch FROM lateness) FROM ended
)
UPDATE bench_due AS known SET due_at = ended.due_at
FROM ended WHERE ended.mailbox_id = known.mailbox_id
"""
_FIGURES = """
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds), max(seconds)
FROM bench_lateness
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with servers():
        import redis
        from django.conf import settings
        from django.db import connection

        client = redis.Redis.from_url(settings.REDIS_URL)
        fill(options.mailboxes)
        command = (sys.executable, "-m", "celery", "-A", "workers.app", "beat", "-s", os.devnull)
        beat = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy()
        )
        try:
            with connection.cursor() as cursor:
                # What is due while the beat starts is no lateness: spread when it runs.
                while not client.llen("mailboxes"):
                    time.sleep(0.05)
                cursor.execute(
                    "UPDATE mailboxes_schedule SET due_at = now() + interval '1 hour', "
                    "claimed_at = NULL"
                )
                client.delete("mailboxes")
                cursor.execute(_SPREAD)
                end = time.monotonic() + options.seconds
                while time.monotonic() < end:
                    messages = client.rpop("mailboxes", 1000) or []
                    boxes = [json.loads(b64decode(json.loads(m)["body"]))[0][0] for m in messages]
                    if boxes:
                        cursor.execute(_END_CLAIMS, {"boxes": boxes})
                    time.sleep(0.02)
                cursor.execute(_FIGURES)
                count, half, most, worst = cursor.fetchone()
        finally:
            beat.terminate()
            beat.wait()
    print(
        f"lateness  mailboxes={options.mailboxes}  dispatched={count / options.seconds:.0f}/s  "
        f"p50={1000 * half:.0f}ms  p99={1000 * most:.0f}ms  max={1000 * worst:.0f}ms"
    )


if __name__ == "__main__":
    main()
