"""A WSGI application that answers with what its server told it: the path as it was sent and as the application is to look it
up, and the fields under the names of CGI, which know neither case nor `-`."""

import json


def app(environ, start_response):
    environ["wsgi.input"].read()
    fields = [[name, value] for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_", "REMOTE_"))]
    path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
    told = {
        "raw": environ["RAW_URI"],
        # WSGI's strings are bytes in the clothes of Latin-1.
        "path": path.encode("latin-1").decode("utf-8", "replace"),
        "fields": fields,
    }
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
