#!/usr/bin/env python3
"""What a request costs through Stepgate and through others that do the same work, on this machine, now.

    benches/compare/run.py target/released/stepgate                   all rows and cases, 9 rounds
    benches/compare/run.py target/released/stepgate --row nginx-pass --row stepgate --case hot-rs256 --rounds 15

`make bench` installs what it needs and runs it. A row whose program is missing is left out with a word. The figure is
CPU time of the program's processes per request, as a multiple of what nginx spends on forwarding the same requests in
the same round; docs/performance.md says why, and what is fair about it.
"""

import argparse
import dataclasses
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

import rows
import tokens

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "compare"
DATA = WORK / "data"
HERE = pathlib.Path(__file__).parent
FLOOR = "nginx-pass"
CONNECTIONS, THREADS = 64, 2
PACED_CONNECTIONS, PACED_RATE = 32, 1000


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    alg: str
    kind: str
    order: str = "circle"
    path: str = "/accounts/1"
    allowed: bool = True
    only: tuple = ("haproxy", "envoy", "stepgate")
    paced: bool = False
    http2: bool = False
    against: str = FLOOR  # whose hot figure it is a multiple of


HOT_TOO = (FLOOR, "hyper-floor", "haproxy", "envoy", "stepgate", "stepgate-audit", "nginx-pass-tls", "stepgate-tls")
CASES = [
    Case("hot-rs256", "rs256", "hot", only=HOT_TOO),
    Case("hot-es256", "es256", "hot"),
    Case("warm-rs256", "rs256", "warm"),
    Case("refused", "rs256", "refused", allowed=False),
    Case("forged", "rs256", "forged", allowed=False),
    Case("public", "rs256", "hot", path="/open/1", only=("stepgate",)),
    Case("http2-hot-rs256", "rs256", "hot", http2=True, only=("nginx-pass-h2", "envoy", "stepgate"), against="nginx-pass-h2"),
    Case("paced-1000", "rs256", "hot", paced=True, only=(FLOOR, "hyper-floor", "haproxy", "envoy", "stepgate")),
    # Last, since they fill the caches of those that have one.
    Case("cold-rs256", "rs256", "cold", order="once"),
    Case("cold-es256", "es256", "cold", order="once"),
]


def token_file(case):
    return DATA / f"{case.alg}-{case.kind}.txt"


def drive(running, case, seconds, priority, connections=CONNECTIONS, pause=0):
    """(requests, answered with a refusal, lost, p50 µs, p99 µs); the pause is each connection's between requests, in ms."""
    url = f"{'https' if running.tls else 'http'}://127.0.0.1:{running.port}"
    if case.http2:
        token = token_file(case).read_text().split()[0]
        command = ["h2load", "-D", str(seconds), "-c", "16", "-m", "8", "-t", "1", "-H", f"authorization: Bearer {token}", url + case.path]
    else:
        if case.paced:
            connections, pause = PACED_CONNECTIONS, PACED_CONNECTIONS * 1000 // PACED_RATE
        command = ["wrk", f"-t{THREADS}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "wrk.lua"), url, "--",
                   str(token_file(case)), case.order, str(THREADS), str(pause), case.path]  # fmt: skip
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    rows.prefer(driver.pid, priority)
    said, _ = driver.communicate(timeout=seconds + 60)
    if case.http2:
        if codes := re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said):
            good, *others = (int(number) for number in codes.groups())
            return good + sum(others), sum(others), 0, 0, 0
    elif found := re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", said, re.M):
        return tuple(int(number) for number in found.groups())
    raise RuntimeError(f"{command[0]} said:\n{said[-2000:]}")


def measure(running, case, seconds, priority):
    before = running.cpu_seconds()
    requests, refused, lost, p50, p99 = drive(running, case, seconds, priority)
    spent = running.cpu_seconds() - before
    wrong = lost + (refused if case.allowed else requests - refused)
    if wrong or not requests:
        raise RuntimeError(f"{case.name}: {wrong} of {requests} answers are not what the case asks; its figure would be of other work")
    return {"us": spent / requests * 1e6, "requests": requests, "p50": p50, "p99": p99}


def one_round(row, cases, arguments, upstream, number):
    """The figures of one row in one round: by case, and of the process."""
    hot = (DATA / "rs256-hot.txt").read_text().split()[0]
    warm_up = Case("warm-up", "rs256", "hot", http2=row.name == "nginx-pass-h2")
    with rows.start(row, arguments.stepgate, WORK, DATA, upstream, hot, arguments.priority) as running:
        time.sleep(0.3)
        found = {"started_ms": running.started_ms, "idle_mib": running.resident_mib()}
        drive(running, warm_up, 1, arguments.priority)
        for case in cases:
            if case.kind == "warm":
                drive(running, case, max(2, arguments.seconds), arguments.priority)  # a cache is to hold them before they count
            got = measure(running, case, arguments.seconds, arguments.priority)
            found[case.name] = got
            if case.kind == "warm":
                found["warm_mib"] = running.resident_mib()
            told = f"{got['us']:8.1f} µs CPU {got['requests']:8} requests, p50 {got['p50']} µs"
            print(f"round {number:2} {row.name:15} {case.name:16} {told}", file=sys.stderr, flush=True)
    return found


def middle(values, form):
    """The median, with the least and the most of several."""
    values = [value for value in values if value is not None]
    if not values:
        return "–"
    spread = f" ({form.format(min(values))}–{form.format(max(values))})" if len(values) > 1 else ""
    return form.format(statistics.median(values)) + spread


def tables(rounds, names, cases):
    """Markdown, from a list of rounds: row name → what `one_round` found."""

    def of(round_, name, *path):
        found = round_.get(name)
        for step in path:
            found = found.get(step) if found else None
        return found

    def ratios(name, case):
        base = "http2-hot-rs256" if case.http2 else "paced-1000" if case.paced else "hot-rs256"
        pairs = [(of(r, name, case.name, "us"), of(r, case.against, base, "us")) for r in rounds]
        return [got / floor for got, floor in pairs if got and floor]

    lines = ["| case | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for case in cases:
        cells = []
        for name in names:
            spent = [us for r in rounds if (us := of(r, name, case.name, "us"))]
            times = ratios(name, case)
            cells.append(f"{statistics.median(spent):.0f} µs" + (f", × {middle(times, '{:.2f}')}" if times else "") if spent else "–")
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    for percentile in ("p50", "p99") if any(case.paced for case in cases) else ():
        cells = []
        for name in names:
            pairs = [(of(r, name, "paced-1000", percentile), of(r, FLOOR, "paced-1000", percentile)) for r in rounds]
            times = [got / floor for got, floor in pairs if got and floor]
            cells.append(f"{middle([got for got, _ in pairs], '{:.0f}')} µs, × {statistics.median(times):.2f}" if times else "–")
        lines.append(f"| {percentile} at {PACED_RATE:,} requests/s | " + " | ".join(cells) + " |")
    process = [
        ("started_ms", "start to first answer, ms", "{:.0f}"),
        ("idle_mib", "resident idle, MiB", "{:.1f}"),
        ("warm_mib", "resident after 10,000 tokens, MiB", "{:.1f}"),
    ]
    for what, title, form in process:
        cells = [middle([of(r, name, what) for r in rounds], form) for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def certificate():
    """For the rows that speak TLS; who believes it is not what is measured."""
    subject = ["-subj", "/CN=localhost", "-days", "30", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    places = ["-keyout", str(DATA / "tls.key"), "-out", str(DATA / "tls.crt")]
    subprocess.run(["openssl", "req", "-x509", *subject, *places], check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stepgate", type=pathlib.Path)
    parser.add_argument("--row", action="append", default=[], choices=[row.name for row in rows.ROWS])
    parser.add_argument("--case", action="append", default=[], choices=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--priority", type=int, default=0, help="of all that is started here before other sessions; below 0 needs root")
    arguments = parser.parse_args()
    arguments.stepgate = arguments.stepgate.resolve()
    for needed in ("nginx", "wrk", "h2load", "openssl"):
        if rows.program(needed, arguments.stepgate) is None:
            sys.exit(f"{needed} is missing; `make bench` installs it where it may")
    chosen = []
    for row in rows.ROWS:
        if arguments.row and row.name not in arguments.row:
            continue
        if rows.program(row.program, arguments.stepgate) is None:
            print(f"left out: {row.name}, for there is no {row.program} here", file=sys.stderr)
            continue
        chosen.append(row)
    cases = [case for case in CASES if not arguments.case or case.name in arguments.case]
    tokens.make(DATA)
    certificate()
    rounds = []
    with rows.start_upstream(WORK, DATA, arguments.priority) as upstream:
        for number in range(1, arguments.rounds + 1):
            order = chosen[:]
            random.Random(number).shuffle(order)  # noqa: S311: an order, not a secret
            found = {}
            for row in order:
                if wanted := [case for case in cases if row.name in case.only]:
                    found[row.name] = one_round(row, wanted, arguments, upstream.port, number)
            rounds.append(found)
            (WORK / "rounds.json").write_text(json.dumps(rounds))
    names = [row.name for row in chosen if any(row.name in round_ for round_ in rounds)]
    print(f"Median of {len(rounds)} rounds: CPU per request, × what nginx spends on forwarding it in the same round (least–most)\n")
    print(tables(rounds, names, cases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
