"""An ASGI application that answers with what its server told it: the path as it was sent and as the application is to look it
up, and the fields."""

import json


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("HTTP alone is spoken here")
    while (await receive()).get("more_body"):
        pass
    query = scope["query_string"]
    told = {
        "raw": (scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1"),
        "path": scope["path"],
        "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
    }
    body = json.dumps(told).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
