"""Asks URL for server-sent events, in HTTP/1.1 or HTTP/2 as PROTOCOL says. Prints the protocol that was spoken, the status and
the type, then each event's data with the time at which it came, in nanoseconds."""

import sys
import time

import httpx

URL, PROTOCOL = sys.argv[1], sys.argv[2]

with httpx.Client(http1=PROTOCOL == "1.1", http2=PROTOCOL == "2", timeout=10) as client:
    with client.stream("GET", URL, headers={"Accept": "text/event-stream", "Cache-Control": "no-cache"}) as response:
        print(response.http_version, response.status_code, response.headers["content-type"])
        for line in response.iter_lines():
            if line.startswith("data: "):
                print(line.removeprefix("data: "), time.time_ns())
