"""The programs that are compared, how each is started, and what it costs while it runs."""

import dataclasses
import http.client
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import tokens

CONF = pathlib.Path(__file__).with_name("conf")
BODY = '{"account":1,"pad":"' + "x" * 1002 + '"}'
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    program: str
    command: str  # words; {program}, {run}, {conf}, {port} and {upstream} are filled in
    conf: str | None
    checks: bool = True  # whether it looks at tokens at all
    tls: bool = False
    fields: tuple = ()


STEPGATE = "{program} run --config {conf}"
NGINX = "{program} -p {run} -c {conf}"
ROWS = [
    Row("nginx-pass", "nginx", NGINX, "nginx.conf", checks=False),
    Row("hyper-floor", "hyper-floor", "{program} {port} {upstream} 2", None, checks=False),
    Row("haproxy", "haproxy", "{program} -db -q -f {conf}", "haproxy.conf"),
    Row("envoy", "envoy", "{program} -c {conf} --concurrency 2 --disable-hot-restart -l error", "envoy.yaml"),
    Row("stepgate", "stepgate", STEPGATE, "stepgate.yaml"),
    Row("stepgate-audit", "stepgate", STEPGATE, "stepgate.yaml", fields=(("AUDIT", '{ to: file, path: "audit.jsonl" }'),)),
    Row("nginx-pass-tls", "nginx", NGINX, "nginx.conf", checks=False, tls=True),
    Row("stepgate-tls", "stepgate", STEPGATE, "stepgate.yaml", tls=True),
    Row("nginx-pass-h2", "nginx", NGINX, "nginx.conf", checks=False, fields=(("LISTEN", " http2"),)),
]


def program(name, stepgate):
    """Where it is, or None."""
    if name == "stepgate":
        return str(stepgate) if stepgate.exists() else None
    if name == "hyper-floor":
        built = stepgate.with_name("examples") / name
        return str(built) if built.exists() else None
    if name == "envoy" and (spec := importlib.util.find_spec("envoy")):
        for folder in spec.submodule_search_locations or []:
            if (found := pathlib.Path(folder, "_bin", "envoy")).exists():
                return str(found)
    beside = pathlib.Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Running:
    """A program that serves; leaving ends it and every process it started."""

    def __init__(self, name, command, run, port, token, tls=False, priority=0):
        self.port, self.tls, self.token = port, tls, token
        self.said = run / "said"
        with open(self.said, "wb") as said:
            began = time.monotonic()
            self.process = subprocess.Popen(
                command, cwd=run, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        prefer(self.process.pid, priority)
        while self.answer() != 200:
            if self.process.poll() is not None or time.monotonic() - began > 20:
                self.__exit__()
                raise RuntimeError(f"{name} gave no 200:\n" + self.said.read_text(errors="replace")[-2000:])
            time.sleep(0.001)
        self.started_ms = (time.monotonic() - began) * 1000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        for process in self.processes():
            os.kill(process, signal.SIGKILL)
        self.process.wait()

    def answer(self, path="/accounts/1"):
        try:
            if self.tls:
                trusting = ssl._create_unverified_context()  # noqa: S323: our own certificate, on the loopback
                asked = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=2, context=trusting)
            else:
                asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            asked.request("GET", path, headers={"Authorization": "Bearer " + self.token})
            status = asked.getresponse().status
            asked.close()
            return status
        except http.client.BadStatusLine:
            return self._answer_http2()
        except (OSError, http.client.HTTPException):
            return None

    def _answer_http2(self):
        """nginx before 1.25 speaks HTTP/2 alone on a clear port that has it."""
        asked = ["h2load", "-n1", "-c1", f"http://127.0.0.1:{self.port}/"]
        return 200 if "1 2xx" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout else None

    def processes(self):
        """Those of its session: workers too."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(entry.parent.name))
        return found

    def cpu_seconds(self):
        """User and system time, in nanoseconds' grain, of all its threads."""
        spent = 0
        for process in self.processes():
            for thread in pathlib.Path(f"/proc/{process}/task").glob("*/schedstat"):
                try:
                    spent += int(thread.read_text().split()[0])
                except OSError:
                    pass
        return spent / 1e9

    def resident_mib(self):
        return sum(int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) for process in self.processes()) * PAGE / 2**20


def prefer(process, priority):
    """Where the kernel groups sessions, nice values count inside one only; this one counts between them. Needs root."""
    if priority:
        pathlib.Path(f"/proc/{process}/autogroup").write_text(str(priority))


def put(name, run, fields):
    """A file of conf/ with its @FIELDS@ filled in."""
    text = (CONF / name).read_text()
    for field, value in fields.items():
        text = text.replace(f"@{field}@", str(value))
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def fields(data, run, port, upstream):
    return {
        "PORT": port, "UPSTREAM": upstream, "RUN": run, "DATA": data, "ISSUER": tokens.ISSUER, "AUDIENCE": tokens.AUDIENCE, "BODY": BODY,
        "USER": "user root;" if os.getuid() == 0 else "",
    }  # fmt: skip


def start_upstream(work, data, priority):
    run = fresh(work / "upstream")
    port = free_port()
    conf = put("upstream.conf", run, fields(data, run, port, 0))
    return Running("the upstream", [program("nginx", pathlib.Path()), "-p", str(run), "-c", str(conf)], run, port, "none", priority=priority)


def fresh(run):
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    return run


def start(row, stepgate, work, data, upstream, token, priority):
    run, port = fresh(work / row.name), free_port()
    filled = {**fields(data, run, port, upstream), "AUDIT": "off", "LISTEN": "", "TLS": "", "ADMIN": "", **dict(row.fields)}
    if row.tls and row.program == "nginx":
        filled |= {"LISTEN": " ssl", "TLS": f"ssl_certificate {data}/tls.crt; ssl_certificate_key {data}/tls.key;"}
    if row.tls and row.program == "stepgate":
        filled["TLS"] = f'tls: {{ cert: "{data}/tls.crt", key: "{data}/tls.key" }}'
    conf = put(row.conf, run, filled) if row.conf else ""
    if row.program == "stepgate":
        (run / "policies").mkdir()
        put("policy.yaml", run, filled).rename(run / "policies" / "policy.yaml")
    found = program(row.program, stepgate)
    words = [word.format(program=found, run=run, conf=conf, port=port, upstream=upstream) for word in row.command.split()]
    return Running(row.name, words, run, port, token, row.tls, priority)
