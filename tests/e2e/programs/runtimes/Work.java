// A JVM at work: an HTTP server and its clients, a pool of threads, code hot enough for both compilers, garbage.
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

public class Work {
    static long mix(long seed, int rounds) {
        long x = seed;
        for (int i = 0; i < rounds; i++)
            x = (x ^ (x >>> 13)) * 0x9E3779B97F4A7C15L + i;
        return x;
    }

    static int garbage(int rounds) {
        List<byte[]> kept = new ArrayList<>();
        for (int i = 0; i < rounds; i++) {
            byte[] block = new byte[10_000 + i % 7];
            if (i % 50 == 0)
                kept.add(block);
        }
        return kept.stream().mapToInt(block -> block.length).sum();
    }

    static long threads() throws Exception {
        var pool = Executors.newFixedThreadPool(4);
        var total = new AtomicLong();
        for (int i = 0; i < 16; i++) {
            int seed = i;
            pool.submit(() -> total.addAndGet(mix(seed, 200_000)));
        }
        pool.shutdown();
        pool.awaitTermination(60, java.util.concurrent.TimeUnit.SECONDS);
        return total.get();
    }

    static int serve() throws Exception {
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(2));
        server.createContext("/", exchange -> {
            byte[] body = ("at " + exchange.getRequestURI().getPath()).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        var client = HttpClient.newHttpClient();
        String base = "http://127.0.0.1:" + server.getAddress().getPort();
        var answers = new ArrayList<CompletableFuture<HttpResponse<String>>>();
        for (int i = 0; i < 20; i++)
            answers.add(client.sendAsync(HttpRequest.newBuilder(URI.create(base + "/" + i)).build(),
                                         HttpResponse.BodyHandlers.ofString()));
        int length = 0;
        for (var answer : answers)
            length += answer.get().body().length();
        server.stop(0);
        return length;
    }

    public static void main(String[] args) throws Exception {
        System.out.println("mix " + threads());
        System.out.println("kept " + garbage(8_000));
        System.out.println("served " + serve());
        String nothing = args.length > 9 ? "" : null;
        try {
            System.out.println(nothing.length()); // a SIGSEGV that the machine makes an exception of
        } catch (NullPointerException expected) {
            System.out.println("caught");
        }
        System.exit(3);
    }
}
