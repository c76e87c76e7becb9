"""The gate under callgrind: its keys, tokens and files, and how many instructions its worker executed."""

import base64
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

ISSUER = "https://idp.example"
AUDIENCE = "https://api.example"


def run(*command, data=None):
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """An RSA key, which openssl makes and signs with."""

    def __init__(self, folder, name):
        self.name = name
        self.path = folder / f"{name}.pem"
        run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self.path))
        said = run("openssl", "rsa", "-in", str(self.path), "-noout", "-modulus").decode()
        self.modulus = bytes.fromhex(said.strip().partition("=")[2])

    def jwk(self):
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.name, "n": base64url(self.modulus), "e": "AQAB"}

    def token(self, subject, amr, padding=0):
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": self.name}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user-{subject:08}", "iat": now, "exp": now + 86400, "auth_time": now,
                  "jti": f"{subject:032x}", "acr": "aal2", "amr": amr, "pad": "x" * padding}  # fmt: skip
        text = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        return text + "." + base64url(run("openssl", "dgst", "-sha256", "-sign", str(self.path), data=text.encode()))


def policy(jwks, routes, issuers, hosts=0, wildcards=False):
    """The texts of a policy's files: so many routes, so many issuers, all of which hold the same keys.

    With `hosts` the routes are for so many host patterns, every second of them for all names under a host; with `wildcards`
    every other segment of their paths is a parameter, and they stand beside the one that is asked.
    """
    lines = ["version: 1", "issuers:"]
    for number in range(issuers):
        # The one that counts stands in the middle of the others.
        name = ISSUER if number == issuers // 2 else f"https://idp-{number}.example"
        access, keys = f'{{ audiences: ["{AUDIENCE}"] }}', f'{{ jwks_file: "{jwks}" }}'
        lines.append(f'  i{number}: {{ issuer: "{name}", access: {access}, keys: {keys} }}')
    lines += [
        "routes:",
        "  - { name: accounts, match: { path: \"/accounts/**\" }, require: { amr: { any: [mfa] } } }",
        "  - { name: open, match: { path: \"/open/**\" }, require: public }",
        "  - { name: deep, match: { path: \"/deep/{a}/x/{b}/y/{c}/**\" }, require: { amr: { any: [mfa] } } }",
    ]
    texts = ["\n".join(lines) + "\n"]
    asks = "require: { amr: { any: [mfa] } }"

    def match(n):
        host = f"{'*.' if n % 2 else ''}h{n % hosts}.example" if hosts else ""
        path = f"/deep/{{a}}/x{n % 100}/{{b}}/y{n // 100}/{{c}}/**" if wildcards else f"/s{n % 100}/r{n // 100}/{{id}}/**"
        return f'path: "{path}", methods: [GET]' + (f', hosts: ["{host}"]' if host else "")

    further = [f"  - {{ name: r{n}, match: {{ {match(n)} }}, {asks} }}" for n in range(routes - 3)]
    per_file = 2500  # none longer than what is read of one
    for first in range(0, len(further), per_file):
        texts.append("version: 1\nroutes:\n" + "\n".join(further[first : first + per_file]) + "\n")
    return texts


def write(folder, keys, upstream, routes, issuers, hosts=0, wildcards=False):
    """Lays the gate's files down in the folder and returns the port it will listen on."""
    (folder / "policies").mkdir()
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": keys}))
    for number, text in enumerate(policy(jwks, routes, issuers, hosts, wildcards)):
        (folder / "policies" / f"{number}.yaml").write_text(text)
    port = free_port()
    (folder / "stepgate.yaml").write_text(
        f"version: 1\nlisteners:\n  - address: 127.0.0.1:{port}\nupstreams:\n  app: {{ url: \"http://127.0.0.1:{upstream}\" }}\n"
        "policies: policies/\nworkers: 1\naudit: off\ntelemetry: { log: warn, format: json }\n"
    )
    return port


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Gate:
    """The program under callgrind, which counts only when it is told to: neither the start nor the first requests.

    Its worker is the thread that executed a function of this name."""

    def __init__(self, command, folder, port, worker="stepgate::proxy::handler"):
        self.folder, self.port, self.worker = folder, port, worker
        self.said = folder / "said"
        # A copy by `rep movsb` counts an instruction for each byte, which it does not cost: copies of a few KiB are not to take it.
        tunables = "glibc.cpu.x86_rep_movsb_threshold=1048576"
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GLIBC_TUNABLES": tunables}
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(
                ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", "--max-threads=1500",
                 f"--callgrind-out-file={folder / 'callgrind'}", *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    def __enter__(self):
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__(None, None, None)
        raise RuntimeError("the gate did not start:\n" + self.said.read_text()[-2000:])

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def ended(self):
        return self.process.poll() is not None

    def tell(self, *words):
        """A word to callgrind, which answers when it has done it."""
        run("vgdb", f"--pid={self.process.pid}", "--wait=10", *words)

    def count(self, name, work):
        """The instructions that the worker executed for this work, and the file that says by which functions."""
        self.tell("zero")
        work()
        self.tell("dump", name)
        # Only the worker's: what other threads do depends on the clock (they look at files) and is not paid by requests.
        worker = [path for path in self.folder.glob("callgrind.*") if self._is_worker(path, name)]
        if len(worker) != 1:
            raise RuntimeError(f"{len(worker)} threads did the work of `{name}`, which is one worker's")
        total = re.search(r"^(?:totals|summary): (\d+)", worker[0].read_text(errors="replace"), re.M)
        return int(total[1]), worker[0]

    def _is_worker(self, path, name):
        text = path.read_text(errors="replace")
        return re.search(rf"^desc: Trigger: dump {re.escape(name)}$", text, re.M) is not None and self.worker in text


def made_with(root):
    """What a count depends on besides our own code."""
    toolchain = re.search(r'channel = "([^"]+)"', pathlib.Path(root, "rust-toolchain.toml").read_text())
    return {
        "machine": os.uname().machine,
        "libc": os.confstr("CS_GNU_LIBC_VERSION"),
        "valgrind": run("valgrind", "--version").decode().strip(),
        "rust": toolchain[1] if toolchain else "unknown",
    }
