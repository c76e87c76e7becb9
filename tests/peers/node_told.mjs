// A server that answers with what Node told it: the path as it was sent, and as an application reads it that knows URLs.
import { createServer } from "node:http";

const pairs = (raw) => Array.from({ length: raw.length / 2 }, (_, at) => [raw[2 * at], raw[2 * at + 1]]);

function read(url) {
  try {
    return decodeURIComponent(new URL(url, "http://node.example").pathname);
  } catch (error) {
    return `unreadable: ${error.message}`;
  }
}

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const told = {
      raw: request.url,
      path: read(request.url),
      fields: pairs(request.rawHeaders).concat(Object.entries(request.headers)),
      trailers: pairs(request.rawTrailers),
    };
    const body = JSON.stringify(told);
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
