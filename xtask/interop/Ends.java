// Java's java.net.http as client and jdk.httpserver as server of `cargo xtask interop matrix`; docs/interop.md says what is
// exchanged. The server speaks HTTP/1 alone; the client's HTTP/2 is chosen by ALPN under TLS, by Upgrade without.
//
//   Ends server                     prints the port of HTTP/1
//   Ends client http1|http2 URL     with https, LENO_CA is the file of the authority to believe; LENO_SKIP names exchanges
//                                   that are not tried

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.zip.CRC32;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public final class Ends {
    private static final byte[] LARGE = "x".repeat(100000).getBytes(StandardCharsets.US_ASCII);

    private static String sum(byte[] data) {
        CRC32 crc = new CRC32();
        crc.update(data);
        return String.format("%08x", crc.getValue());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String header(HttpExchange exchange, String name) {
        List<String> values = exchange.getRequestHeaders().get(name);
        return values == null ? "-" : String.join("; ", values);
    }

    private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
        if (exchange.getRequestMethod().equals("HEAD")) {
            exchange.getResponseHeaders().set("Content-Length", Integer.toString(body.length));
            exchange.sendResponseHeaders(status, -1);
            return;
        }
        if (body.length == 0) {
            exchange.sendResponseHeaders(status, -1);
            return;
        }
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }

    private static void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getRawPath();
        if (path.equals("/early")) {
            send(exchange, 413, bytes("early"));
            exchange.close();
            return;
        }
        byte[] body = exchange.getRequestBody().readAllBytes();
        var headers = exchange.getResponseHeaders();
        switch (path) {
            case "/echo" -> {
                headers.set("x-method", exchange.getRequestMethod());
                headers.set("x-path", exchange.getRequestURI().toString());
                headers.set("x-length", Integer.toString(body.length));
                headers.set("x-sum", sum(body));
                headers.set("x-test", header(exchange, "x-test"));
                // This server drops trailers unread.
                headers.set("x-trailer", "-");
                send(exchange, 200, body);
            }
            case "/large" -> send(exchange, 200, LARGE);
            case "/chunked", "/trailers" -> {
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().write(path.equals("/chunked") ? LARGE : bytes("hello"));
            }
            case "/status/204" -> exchange.sendResponseHeaders(204, -1);
            case "/status/304" -> {
                headers.set("etag", "\"1\"");
                exchange.sendResponseHeaders(304, -1);
            }
            case "/hints" -> send(exchange, 200, bytes("hinted"));
            case "/headers" -> {
                for (int at = 0; at < 40; at++) headers.set("x-many-" + at, "value-" + at);
                headers.set("x-big", "h".repeat(6000));
                long many = exchange.getRequestHeaders().keySet().stream()
                    .filter(name -> name.toLowerCase().startsWith("x-many-")).count();
                send(exchange, 200, bytes("many=" + many + " big=" + header(exchange, "x-big").length()));
            }
            case "/cookies" -> {
                headers.put("Set-Cookie", List.of("a=1", "b=2; Path=/"));
                send(exchange, 200, bytes(header(exchange, "cookie")));
            }
            default -> send(exchange, 404, bytes("no such path"));
        }
        exchange.close();
    }

    private static void serve() throws IOException {
        // Without it, small writes wait for acknowledgements.
        System.setProperty("sun.net.httpserver.nodelay", "true");
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Ends::answer);
        server.start();
        System.out.println(server.getAddress().getPort());
    }

    private static final class Client {
        private final HttpClient client;
        private final String url;

        Client(String version, String url) throws Exception {
            var wanted = version.equals("http1") ? HttpClient.Version.HTTP_1_1 : HttpClient.Version.HTTP_2;
            var builder = HttpClient.newBuilder().version(wanted).connectTimeout(Duration.ofSeconds(10));
            if (url.startsWith("https:")) builder.sslContext(trusting(Path.of(System.getenv("LENO_CA"))));
            client = builder.build();
            this.url = url;
        }

        /** Believes one authority alone. */
        private static SSLContext trusting(Path authority) throws Exception {
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            try (InputStream pem = Files.newInputStream(authority)) {
                store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
            }
            TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            factory.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, factory.getTrustManagers(), null);
            return context;
        }

        HttpRequest.Builder to(String path) {
            return HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(10));
        }

        HttpResponse<byte[]> ask(HttpRequest.Builder request) throws Exception {
            return client.send(request.build(), BodyHandlers.ofByteArray());
        }
    }

    private static String show(HttpResponse<byte[]> response) {
        HttpHeaders headers = response.headers();
        byte[] body = response.body();
        List<String> words = new ArrayList<>();
        words.add("status=" + response.statusCode() + " length=" + body.length + " sum=" + sum(body));
        for (String name : new String[] {
            "x-method", "x-path", "x-length", "x-sum", "x-test", "x-trailer", "content-length", "etag"}) {
            headers.firstValue(name).ifPresent(value -> words.add(name + "=" + value));
        }
        String text = new String(body, StandardCharsets.UTF_8);
        long many = headers.map().keySet().stream().filter(name -> name.toLowerCase().startsWith("x-many-")).count();
        if (many > 0) words.add("many=" + many + " big=" + headers.firstValue("x-big").orElse("").length() + " text=" + text);
        List<String> cookies = headers.allValues("set-cookie");
        if (!cookies.isEmpty()) words.add("set-cookie=" + String.join("|", cookies) + " text=" + text);
        return String.join(" ", words);
    }

    private static HttpRequest.Builder post(Client client, String path, BodyPublisher body) {
        return client.to(path).POST(body);
    }

    private static void exchange(String version, String url) throws Exception {
        Client client = new Client(version, url);
        byte[] thousand = new byte[1000];
        Arrays.fill(thousand, (byte) 'e');
        HttpRequest.Builder many = client.to("/headers").header("x-big", "h".repeat(6000));
        for (int at = 0; at < 40; at++) many.header("x-many-" + at, "value-" + at);
        Map<String, HttpRequest.Builder> plans = new LinkedHashMap<>();
        plans.put("204", client.to("/status/204"));
        plans.put("304", client.to("/status/304"));
        plans.put("get", client.to("/echo?x=%20y&z=").header("x-test", "a, b"));
        plans.put("post-0", post(client, "/echo", BodyPublishers.ofByteArray(new byte[0])));
        plans.put("post-1", post(client, "/echo", BodyPublishers.ofString("1")));
        plans.put("post-100k", post(client, "/echo", BodyPublishers.ofByteArray(LARGE)));
        plans.put("post-chunked", post(client, "/echo", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(LARGE))));
        plans.put("head", client.to("/large").method("HEAD", BodyPublishers.noBody()));
        plans.put("large", client.to("/large"));
        plans.put("chunked", client.to("/chunked"));
        plans.put("trailers", client.to("/trailers"));
        plans.put("expect", post(client, "/echo", BodyPublishers.ofByteArray(thousand)).expectContinue(true));
        plans.put("early", post(client, "/early", BodyPublishers.ofByteArray(LARGE)));
        plans.put("headers", many);
        plans.put("cookies", client.to("/cookies").header("cookie", "c=3; d=4"));
        List<String> left = List.of(System.getenv().getOrDefault("LENO_SKIP", "").split(","));
        for (var plan : plans.entrySet()) {
            if (left.contains(plan.getKey())) continue;
            String seen;
            try {
                seen = show(client.ask(plan.getValue()));
            } catch (IOException error) {
                seen = "error: " + error.getMessage();
            }
            System.out.println(plan.getKey() + "\t" + seen);
        }
        System.out.println("request-trailers\tcannot: java.net.http sends none");
        System.out.println("hints\tcannot: java.net.http of Java 17 takes 103 for the answer");
        int good = 0;
        for (int at = 0; at < 100; at++) {
            String path = "/echo?n=" + at;
            var response = client.ask(client.to(path));
            if (response.statusCode() == 200 && response.headers().firstValue("x-path").orElse("").equals(path)) good++;
        }
        System.out.println("keep-alive\t" + good);
        System.exit(0);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 1 && arguments[0].equals("server")) {
            serve();
        } else {
            exchange(arguments[1], arguments[2]);
        }
    }
}
