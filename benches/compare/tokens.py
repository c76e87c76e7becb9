"""The keys and tokens that all rows are given: made once, kept for half a day."""

import base64
import json
import multiprocessing
import pathlib
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

ISSUER = "https://idp.bench.example"
AUDIENCE = "accounts-api"
ALGORITHMS = ("rs256", "es256")
# kind: (how many, first number, amr). Numbers are never shared, so that each token is another one.
KINDS = {
    "hot": (1, 1, ["pwd", "otp", "mfa"]),
    "warm": (10_000, 1_000, ["pwd", "otp", "mfa"]),
    "cold": (60_000, 1_000_000, ["pwd", "otp", "mfa"]),
    "refused": (1, 2, ["pwd"]),
    "forged": (1_000, 3_000_000, ["pwd", "otp", "mfa"]),
}
KEPT_FOR = 12 * 3600


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(alg, key, text):
    if alg == "rs256":
        return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(alg, key, number, amr, now):
    head = {"alg": alg.upper(), "typ": "JWT", "kid": alg}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user-{number:08}", "iat": now, "exp": now + 86400, "auth_time": now - 5,
              "jti": f"{number:032x}", "acr": "aal2", "amr": amr}  # fmt: skip
    text = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return text + "." + base64url(sign(alg, key, text.encode()))


def _batch(job):
    alg, pem, first, count, amr, now = job
    key = serialization.load_pem_private_key(pem, None)
    return [token(alg, key, number, amr, now) for number in range(first, first + count)]


def forged(text):
    head, claims, signature = text.split(".")
    middle = len(signature) // 2
    return f"{head}.{claims}.{signature[:middle]}{'B' if signature[middle] == 'A' else 'A'}{signature[middle + 1:]}"


def jwk(alg, key):
    numbers = key.public_key().public_numbers()
    common = {"use": "sig", "alg": alg.upper(), "kid": alg}
    if alg == "rs256":
        return {**common, "kty": "RSA", "n": base64url(numbers.n.to_bytes(256, "big")), "e": "AQAB"}
    return {**common, "kty": "EC", "crv": "P-256", "x": base64url(numbers.x.to_bytes(32, "big")), "y": base64url(numbers.y.to_bytes(32, "big"))}


def make(folder: pathlib.Path):
    stamp = folder / "made.json"
    wanted = {kind: count for kind, (count, _, _) in KINDS.items()}
    if stamp.exists():
        made = json.loads(stamp.read_text())
        if made["kinds"] == wanted and time.time() - made["at"] < KEPT_FOR:
            return
    folder.mkdir(parents=True, exist_ok=True)
    now, keys = int(time.time()), {"rs256": rsa.generate_private_key(65537, 2048), "es256": ec.generate_private_key(ec.SECP256R1())}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk(alg, key) for alg, key in keys.items()]}))
    spki = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with multiprocessing.Pool() as pool:
        for alg, key in keys.items():
            (folder / f"{alg}.pub.pem").write_bytes(key.public_key().public_bytes(*spki))
            pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            for kind, (count, first, amr) in KINDS.items():
                jobs = [(alg, pem, n, min(500, first + count - n), amr, now) for n in range(first, first + count, 500)]
                made = [text for part in pool.imap(_batch, jobs) for text in part]
                made = [forged(text) for text in made] if kind == "forged" else made
                (folder / f"{alg}-{kind}.txt").write_text("\n".join(made) + "\n")
    stamp.write_text(json.dumps({"kinds": wanted, "at": now}))
