#!/usr/bin/env python3
"""What reloading a large policy does to the requests that are served meanwhile: p99 with and without.

    benches/compare/reloads.py target/released/stepgate
    benches/compare/reloads.py target/released/stepgate --rounds 15 --rate 4000 --every 2

One gate with 10,000 routes, a moderate steady load (each connection pauses between its requests), and in every round the
same time twice, in turn first and second: once with nothing else, once with another policy put in force each second.
Told is the median over the rounds of p50 and p99, and of their ratio within a round. Worth something on a quiet machine
alone: where others work, p99 is theirs.
"""

import argparse
import dataclasses
import os
import pathlib
import random
import re
import signal
import statistics
import sys
import threading
import time
import urllib.request

import rows
import run as compare
import tokens

CONNECTIONS = 32
PER_FILE = 2_500
ALLOWED_GROWTH = 0.2


class Policy:
    """So many routes beside those of the comparison, in files of which one is written anew for each reload."""

    def __init__(self, folder, routes):
        self.folder, self.number = folder, 0
        asks = "require: { amr: { any: [mfa] } }"
        lines = [
            f'  - {{ name: r{n}, match: {{ path: "/s{n % 100}/r{n // 100}/{{id}}/**", methods: [GET] }}, {asks} }}' for n in range(routes)
        ]
        for first in range(0, routes, PER_FILE):
            self.text = "version: 1\nroutes:\n" + "\n".join(lines[first : first + PER_FILE]) + "\n"
            self.path = folder / f"routes-{first}.yaml"
            self.path.write_text(self.text)

    def change(self):
        """Another policy each time: one of its routes has another path."""
        self.number += 1
        aside = self.folder.parent / "aside"
        aside.write_text(self.text + f'  - {{ name: changed, match: {{ path: "/changed-{self.number}" }}, require: authenticated }}\n')
        aside.rename(self.path)


class Reloading:
    """Changes the policy and says so, each `every` seconds, until it is left."""

    def __init__(self, running, policy, every):
        self.running, self.policy, self.every = running, policy, every
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._work)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _work(self):
        while not self.over.wait(self.every):
            self.policy.change()
            os.kill(self.running.process.pid, signal.SIGHUP)


def reloads(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:  # noqa: S310: our own
        text = answer.read().decode()
    taken = re.search(r'^stepgate_policy_reloads_total\{outcome="taken"\} (\d+)', text, re.M)
    return int(taken[1]) if taken else 0


def measure(running, case, arguments, pause):
    requests, refused, lost, p50, p99 = compare.drive(running, case, arguments.seconds, arguments.priority, CONNECTIONS, pause)
    if refused or lost or not requests:
        raise RuntimeError(f"{refused} refused and {lost} lost of {requests}: reloads must cost no request its answer")
    return {"requests": requests, "p50": p50, "p99": p99}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stepgate", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=10, help="length of one measurement")
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=2_000, help="requests a second, about")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from one reload to the next")
    parser.add_argument("--priority", type=int, default=0, help="of all that is started here before other sessions; below 0 needs root")
    arguments = parser.parse_args()
    tokens.make(compare.DATA)
    admin = rows.free_port()
    stepgate = next(row for row in rows.ROWS if row.name == "stepgate")
    row = dataclasses.replace(stepgate, fields=(("ADMIN", f"admin: {{ address: 127.0.0.1:{admin} }}"),))
    case = compare.Case("reloads", "rs256", "hot")
    hot = (compare.DATA / "rs256-hot.txt").read_text().split()[0]
    pause = CONNECTIONS * 1000 // arguments.rate
    rounds = []
    with (
        rows.start_upstream(compare.WORK, compare.DATA, arguments.priority) as upstream,
        rows.start(row, arguments.stepgate.resolve(), compare.WORK, compare.DATA, upstream.port, hot, arguments.priority) as running,
    ):
        policy = Policy(compare.WORK / row.name / "policies", arguments.routes)
        os.kill(running.process.pid, signal.SIGHUP)
        while reloads(admin) < 1:
            time.sleep(0.1)
        measure(running, case, arguments, pause)
        for number in range(1, arguments.rounds + 1):
            found = {}
            for kind in random.Random(number).sample(["still", "reloading"], 2):  # noqa: S311: an order, not a secret
                before = reloads(admin)
                if kind == "still":
                    found[kind] = measure(running, case, arguments, pause)
                else:
                    with Reloading(running, policy, arguments.every):
                        found[kind] = measure(running, case, arguments, pause)
                found[kind]["reloads"] = reloads(admin) - before
                told = ", ".join(f"{name} {value}" for name, value in found[kind].items())
                print(f"round {number:2} {kind:10} {told}", file=sys.stderr, flush=True)
            rounds.append(found)
    done = sum(found["reloading"]["reloads"] for found in rounds)
    print(f"Median of {len(rounds)} rounds (least–most), {done} reloads of {arguments.routes:,} routes\n")
    print("| | still | reloading | reloading / still |\n|---|---|---|---|")
    for percentile in ("p50", "p99"):
        still, reloading = ([found[kind][percentile] for found in rounds] for kind in ("still", "reloading"))
        ratios = [b / a for a, b in zip(still, reloading)]
        cells = [compare.middle(still, "{:.0f} µs"), compare.middle(reloading, "{:.0f} µs"), compare.middle(ratios, "{:.2f}")]
        print(f"| {percentile} | {' | '.join(cells)} |")
    if done < len(rounds):
        sys.exit("hardly a policy was put in force: what was measured says nothing of reloads")
    return 1 if statistics.median(ratios) > 1 + ALLOWED_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
