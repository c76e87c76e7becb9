// A server that answers with what Java's own HTTP server told it: the path as it was sent and as it reads it, the context that
// it chose by it, and the fields.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;

public class Told {
    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 64);
        server.createContext("/", Told::tell);
        // It compares letters and not segments: `/admin` would be for `/administrators` too.
        server.createContext("/admin/", Told::tell);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }

    static void tell(HttpExchange exchange) throws IOException {
        exchange.getRequestBody().readAllBytes();
        List<String> fields = new ArrayList<>();
        exchange.getRequestHeaders().forEach((name, values) ->
            values.forEach(value -> fields.add("[" + text(name) + "," + text(value) + "]")));
        String path = exchange.getRequestURI().getPath();
        String zone = "/admin".equals(path) || exchange.getHttpContext().getPath().equals("/admin/") ? "admin" : "";
        String told = "{\"raw\":" + text(exchange.getRequestURI().toString())
            + ",\"path\":" + text(path)
            + ",\"zone\":" + text(zone)
            + ",\"fields\":[" + String.join(",", fields) + "]}";
        byte[] body = told.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    static String text(String plain) {
        StringBuilder out = new StringBuilder("\"");
        for (char letter : (plain == null ? "" : plain).toCharArray()) {
            if (letter < ' ' || letter == '"' || letter == '\\' || letter > '~') {
                out.append(String.format("\\u%04x", (int) letter));
            } else {
                out.append(letter);
            }
        }
        return out.append('"').toString();
    }
}
