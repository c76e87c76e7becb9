"""Where the instructions of a count go: by whose code they are, and the functions that take most."""

import re
import subprocess

# The first that fits. What the compiler put into its caller counts as the caller's.
GROUPS = [
    ("hyper, both sides", r"hyper(_util)?::|httparse::|^http_body|\bh2::"),
    ("header maps (http, bytes)", r"http::|bytes::"),
    ("tokio, its I/O and timers", r"tokio|\bmio::"),
    ("the core: paths, routes, evidence, decision, tokens", r"stepgate::(policy|assurance|token|config)"),
    ("cache of verified tokens", r"stepgate::verification|moka"),
    ("forwarding, heads, pool, answers", r"stepgate::proxy|stepgate::tls"),
    ("records: metrics, audit, logs", r"stepgate::(telemetry|audit|clock)|prometheus|tracing"),
    # Assembly without a name of its own is blake3's.
    ("crypto and hashing", r"^0x[0-9a-f]+$|aws_lc|bignum|sha256|^p256|rsaz|bn_|RSA_|EVP_|blake3"),
    ("copying and comparing (libc)", r"^_*mem(cpy|move|set|cmp|chr)|memmove|memset|memcmp|memchr|bcmp"),
    ("allocating (libc)", r"^_?(int_)?(malloc|free|realloc|calloc)|_int_(malloc|free|realloc)|malloc_consolidate|unlink_chunk|tcache"),
    ("text, collections, formatting (std, serde)", r"core::|alloc::|std::|serde|smallvec|hashbrown|base64"),
    ("other libc, among it system calls", r"libc|libpthread|vdso|epoll|^(send|recv|write|read|writev|accept)"),
]


def annotated(path):
    """(instructions, function) as callgrind_annotate says."""
    said = subprocess.run(["callgrind_annotate", "--threshold=100", str(path)], capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        if row := re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(?:\S*?:(?=[^:]))?(.+)$", line):
            name = row[2]
            if name != "PROGRAM TOTALS":
                yield int(row[1].replace(",", "")), name


def bare(name):
    """Without the file it is from."""
    return re.sub(r" \[[^]]*\]$", "", name)


def group(name):
    shown = bare(name)
    for title, pattern in GROUPS:
        if re.search(pattern, shown) or (title.startswith("other libc") and re.search(r"\[.*libc", name)):
            return title
    return "the rest"


def show(path, requests, most=45):
    rows = [(count / requests, name) for count, name in annotated(path)]
    total, sums = sum(count for count, _ in rows), {}
    for count, name in rows:
        sums[group(name)] = sums.get(group(name), 0) + count
    print(f"{total:,.0f} instructions per request\n\n| whose | instructions | share |\n|---|---:|---:|")
    for title, count in sorted(sums.items(), key=lambda item: -item[1]):
        print(f"| {title} | {count:,.0f} | {count / total:.0%} |")
    print("\n| function | instructions |\n|---|---:|")
    for count, name in sorted(rows, reverse=True)[:most]:
        print(f"| `{bare(name)[:110]}` | {count:,.0f} |")
