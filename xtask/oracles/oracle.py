"""Compares `punctual next --stdin` with two independent implementations: croniter and cronsim.

Usage: oracle.py PUNCTUAL COUNT [SEED]

croniter is asked in UTC, where it and we have the same rules. cronsim follows Debian's cron across changes of the clock,
so it is asked in zones, at instants near their changes. What they do otherwise is listed in docs/concepts/time.md and
left out of what is generated here. Exits with 1 at the first differences.
"""

import json
import os
import random
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone

os.environ["PYTHONTZPATH"] = ""  # the zones of the tzdata package, the same version as ours
import zoneinfo

zoneinfo.reset_tzpath([])
from croniter import croniter
from cronsim import CronSim

ZONES = [
    "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Cairo",
    "Pacific/Auckland", "Europe/Dublin", "America/St_Johns", "Asia/Shanghai", "Asia/Kathmandu", "America/Asuncion",
]
# cronsim goes wrong with wildcard rules on days whose clock changes at midnight or by half an hour: it misses times,
# or gives one instant for ever.
ODD = {"America/Santiago", "America/St_Johns", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Cairo", "America/Asuncion"}
FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
NAMES = {
    3: "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(),
    4: "SUN MON TUE WED THU FRI SAT".split(),
}


def field(rng, index, special):
    low, high = FIELDS[index]
    day = index in (2, 4)
    kind = rng.random()
    if kind < 0.35:
        return "*"
    if special and index == 2 and kind < 0.42:
        return "L"
    if special and index == 4 and kind < 0.45:
        return f"{rng.randint(0, 6)}#{rng.randint(1, 4)}"
    if kind < 0.5 and not day:
        return f"*/{rng.choice([2, 3, 5, 7, 10, 15, 20])}"
    if kind < 0.6:
        # croniter takes a range of one value, such as 5-5, for a star.
        start = rng.randint(low, high - 1)
        stop = rng.randint(start + 1, high)
        step = rng.choice(["", "", "/2", "/3"])
        return f"{start}-{stop}{step}"
    if kind < 0.65 and index in NAMES:
        return rng.choice(NAMES[index])
    values = sorted({rng.randint(low, high) for _ in range(rng.choice([1, 1, 1, 2, 3]))})
    return ",".join(str(value) for value in values)


def rule(rng, special):
    return " ".join(field(rng, index, special) for index in range(5))


def near_a_change(rng, zone):
    """An instant from 2000 to 2037, most often within two days before a change of the zone's clock."""
    at = datetime(2000, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=rng.randint(0, 37 * 365 * 1440))
    tz = zoneinfo.ZoneInfo(zone)
    if rng.random() < 0.8:
        offset = at.astimezone(tz).utcoffset()
        for _ in range(400):
            later = at + timedelta(days=1)
            if later.astimezone(tz).utcoffset() != offset:
                break
            at = later
        at -= timedelta(minutes=rng.randint(0, 2 * 1440))
    return at


def text(at):
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def by_croniter(expr, at, count):
    base = croniter(expr, at, day_or=True)
    return [text(base.get_next(datetime)) for _ in range(count)]


def by_cronsim(expr, zone, at, count):
    times = CronSim(expr, at.astimezone(zoneinfo.ZoneInfo(zone)))
    return [text(next(times)) for _ in range(count)]


def give_up(*_):
    raise TimeoutError


def generate(rng, count):
    signal.signal(signal.SIGALRM, give_up)
    requests = []
    while len(requests) < count:
        zone = rng.choice(ZONES)
        special = rng.random() < 0.2
        expr = rule(rng, special)
        if len(requests) % 2 == 0:
            at = datetime(1971, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=rng.randint(0, 60 * 365 * 86400))
            oracle, zone = "croniter", "UTC"
            if "L" in expr.split()[2] or "#" in expr:
                continue
        else:
            if zone in ODD and any(word.startswith("*") for word in expr.split()[:2]):
                continue
            at = near_a_change(rng, zone)
            oracle = "cronsim"
        n = rng.choice([1, 3, 8])
        signal.alarm(2)
        try:
            expected = by_croniter(expr, at, n) if oracle == "croniter" else by_cronsim(expr, zone, at, n)
        except Exception:  # it never fires, or the oracle gives up or never ends
            continue
        finally:
            signal.alarm(0)
        requests.append((oracle, {"expr": expr, "tz": zone, "from": text(at), "n": n}, expected))
    return requests


def main():
    punctual, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    requests = generate(random.Random(seed), count)
    lines = "".join(json.dumps(request) + "\n" for _, request, _ in requests)
    answers = subprocess.run([punctual, "next", "--stdin"], input=lines, capture_output=True, text=True, check=True)
    answers = answers.stdout.splitlines()
    if len(answers) != len(requests):
        sys.exit(f"{len(requests)} requests, {len(answers)} answers")
    different = 0
    for (oracle, request, expected), answer in zip(requests, answers):
        if json.loads(answer).get("times") != expected:
            different += 1
            if different <= 20:
                print(f"{oracle}: {json.dumps(request)}\n  expected {expected}\n  answered {answer}")
    print(f"{len(requests)} compared, {different} different (seed {seed})")
    sys.exit(1 if different else 0)


main()
