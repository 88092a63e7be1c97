"""Real servers, unmodified, asked by real clients from outside: through published ports and over a tap,
every answer compared by its sum."""
import concurrent.futures
import gzip
import hashlib
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import tempfile

from harness import INGOT, ROOT, Failure, Skip, need
from netlab import (GUEST6, INSIDE, OUTSIDE, Site, TAP, WAYS, ask, background, certificate, command, fetch, find, guest,
                    namespace, need_programs, net_options, same, until, write)

HERE = os.path.dirname(os.path.abspath(__file__))


def redis(way, folder, ground):
    address = INSIDE[way]
    saves = ["--save", ""] if ground == "process" else []  # a child writes the file, by its default configuration
    with guest(["redis-server", "--protected-mode", "no", *saves], net_options(way, [6379]), ground=ground):
        until(lambda: ask(address, 6379, b"PING\r\n", b"+PONG\r\n"))
        value = os.urandom(3 << 20)
        path, digest = write(folder, "value", value)
        with open(path, "rb") as file:
            command("redis-cli", "-h", address, "-x", "set", "k", stdin=file.read())
        got = command("redis-cli", "-h", address, "--raw", "get", "k")
        same(got[:-1], digest, "a value of 3 MiB")
        command("redis-benchmark", "-h", address, "-q", "-c", "50", "-n", "2000", "-t", "set,incr,lpush", "-P", "4")
        need(command("redis-cli", "-h", address, "get", "counter:__rand_int__") == b"2000\n", "not all INCR counted")
        subscribers(address)
        if ground == "vm":
            save(address, digest)


def save(address, digest):
    """BGSAVE: a child writes what was there at the fork, whatever is changed meanwhile."""
    need(b"started" in command("redis-cli", "-h", address, "bgsave"), "no background save")
    command("redis-benchmark", "-h", address, "-q", "-n", "500", "-t", "set")
    until(lambda: b"rdb_bgsave_in_progress:0" in command("redis-cli", "-h", address, "info", "persistence"))
    need(b"rdb_last_bgsave_status:ok" in command("redis-cli", "-h", address, "info", "persistence"), "the save failed")
    same(command("redis-cli", "-h", address, "--raw", "get", "k")[:-1], digest, "the value after the save")


def subscribers(address):
    """What one publishes, another is sent."""
    with socket.create_connection((address, 6379), timeout=20) as link:
        link.sendall(b"SUBSCRIBE news\r\n")
        need(b"subscribe" in link.recv(4096), "no subscription")
        command("redis-cli", "-h", address, "publish", "news", "it happened")
        need(b"it happened" in link.recv(4096), "no message")


def memcached(way, _folder, ground):
    address = INSIDE[way]
    options = [*net_options(way, [11211, "11211/udp"]), "--cpus", "2"]
    with guest(["memcached", "-u", "root", "-U", "11211", "-t", "4"], options, ground=ground):
        until(lambda: ask(address, 11211, b"set a 0 0 3\r\nabc\r\nget a\r\n", b"STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\n"))
        value = os.urandom(900_000)
        wanted = b"STORED\r\nVALUE b 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        got = ask(address, 11211, b"set b 0 0 %d\r\n%s\r\nget b\r\n" % (len(value), value), wanted, timeout=30)
        need(got, "a large value came back changed")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(2)
            link.connect((address, 11211))

            def once():
                link.send(b"\x12\x34\0\0\0\1\0\0get a\r\n")
                return link.recv(2048)
            answer = until(once, deadline=10)
            need(answer == b"\x12\x34\0\0\0\1\0\0VALUE a 0 3\r\nabc\r\nEND\r\n", f"by UDP: {answer!r}")


NGINX = """user root; error_log stderr; pid /tmp/nginx.pid; events {{ }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; gzip on; gzip_types text/plain;
    types {{ text/plain txt; text/html html; }}
    server {{
        listen 80; listen 443 ssl;
        ssl_certificate /cert.pem; ssl_certificate_key /key.pem;
        location / {{ root /site; }}
        location /far/ {{ proxy_pass http://{outside}:8099/; }}
    }}
}}
"""


def nginx(way, folder, ground):
    address, site = INSIDE[way], Site(folder)
    ca, cert, key = certificate(folder)
    config, _ = write(folder, "nginx.conf", NGINX.format(outside=OUTSIDE[way]))
    files = []
    for pair in (f"{site.folder}:/site", f"{config}:/etc/nginx/nginx.conf", f"{cert}:/cert.pem", f"{key}:/key.pem"):
        files += ["--file", pair]
    words = ["nginx", "-g", "daemon off; master_process off;"]
    with background("python3", "-m", "http.server", "8099", cwd=site.folder), \
            guest(words, net_options(way, [80, 443]) + files, ground=ground):
        until(lambda: ask(address, 80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"))
        site.check(f"http://{address}")
        site.check(f"https://{address}", "--cacert", ca)
        packed = fetch("-H", "Accept-Encoding: gzip", f"http://{address}/words.txt")
        need(len(packed) < 10_000, "gzip packed nothing")
        same(gzip.decompress(packed), site.text, "the packed text")
        same(fetch(f"http://{address}/far/large.bin"), site.large, "the large file from behind the proxy")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for got in pool.map(fetch, [f"http://{address}/large.bin"] * 8):
                same(got, site.large, "one of eight at once")


def nginx_workers(way, folder, ground):
    """A master and two workers, and a reload while it is asked."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    address, site = INSIDE[way], Site(folder)
    config, _ = write(folder, "nginx.conf", "user root; worker_processes 2; error_log stderr; pid /tmp/nginx.pid;"
                      "events {} http { access_log off; server { listen 80 reuseport; root /site; } }")
    script = "nginx; sleep 2; kill -HUP $(cat /tmp/nginx.pid); sleep 1; touch /site/reloaded; sleep 600"
    options = [*net_options(way, [80]), "--file", f"{site.folder}:/site", "--file", f"{config}:/etc/nginx/nginx.conf"]
    for name in ("nginx", "sleep", "cat", "touch"):
        options += ["--allow-exec", name]
    with guest(["/bin/sh", "-c", script], options, ground=ground, stops=False):
        until(lambda: ask(address, 80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for got in pool.map(fetch, [f"http://{address}/large.bin"] * 4):
                same(got, site.large, "one of four at once")
        until(lambda: ask(address, 80, b"GET /reloaded HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"))
        site.check(f"http://{address}")


def python(way, folder, ground):
    site = Site(folder)
    words = ["/usr/bin/python3", "-m", "http.server", "8000", "-d", "/site"]
    with guest(words, [*net_options(way, [8000]), "--file", f"{site.folder}:/site"], ground=ground):
        until(lambda: ask(INSIDE[way], 8000, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"))
        site.check(f"http://{INSIDE[way]}:8000")


NODE = """const http = require('http'), fs = require('fs');
http.createServer((request, response) => {
    if (request.method === 'POST') {
        request.pipe(response);
    } else {
        fs.createReadStream('/site' + request.url).on('error', () => { response.statusCode = 404; response.end(); })
            .pipe(response);
    }
}).listen(8000);
"""


def node(way, folder, ground):
    site = Site(folder)
    script, _ = write(folder, "server.js", NODE)
    options = [*net_options(way, [8000]), "--file", f"{site.folder}:/site", "--file", f"{script}:/server.js"]
    with guest(["/usr/bin/node", "/server.js"], options, memory="256M", ground=ground):
        base = f"http://{INSIDE[way]}:8000"
        until(lambda: ask(INSIDE[way], 8000, b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n"))
        site.check(base)
        back = fetch("--data-binary", f"@{site.folder}/large.bin", "-H", "Expect:", base + "/back")
        same(back, site.large, "what was posted")


def go(way, folder, ground):
    need_programs("go")
    site = Site(folder)
    program = os.path.join(folder, "server")
    command("go", "build", "-o", program, os.path.join(HERE, "programs", "server.go"), timeout=300,
            env={"GO111MODULE": "off", "CGO_ENABLED": "0"})
    with guest([program], [*net_options(way, [8000]), "--file", f"{site.folder}:/site"], ground=ground):
        until(lambda: ask(INSIDE[way], 8000, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"))
        site.check(f"http://{INSIDE[way]}:8000")


HAPROXY = """global
    nbthread 4
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind :8080
    http-request return status 200 content-type text/plain string "itself" if {{ path /itself }}
    default_backend far
backend far
    balance roundrobin
    option httpchk GET /index.html
    server first {outside}:8098 check
    server second {outside}:8099 check
"""


def haproxy(way, folder, ground):
    site = Site(folder)
    config, _ = write(folder, "haproxy.cfg", HAPROXY.format(outside=OUTSIDE[way]))
    base = f"http://{INSIDE[way]}:8080"
    with background("python3", "-m", "http.server", "8098", cwd=site.folder), \
            background("python3", "-m", "http.server", "8099", cwd=site.folder), \
            guest(["haproxy", "-db", "-f", "/haproxy.cfg"],
                  [*net_options(way, [8080]), "--file", f"{config}:/haproxy.cfg"], ground=ground):
        need(until(lambda: fetch(base + "/itself", timeout=3)) == b"itself", "its own answer is wrong")
        site.check(base)
        site.check(base)


def mosquitto(way, folder, ground):
    need_programs("mosquitto", "mosquitto_sub", "mosquitto_pub")
    config, _ = write(folder, "mosquitto.conf", "listener 1883 0.0.0.0\nallow_anonymous true\nuser root\n")
    address = INSIDE[way]
    message = os.urandom(200_000)
    path, digest = write(folder, "message", message)
    with guest(["mosquitto", "-c", "/m.conf"], [*net_options(way, [1883]), "--file", f"{config}:/m.conf"],
               ground=ground):
        until(lambda: command("mosquitto_pub", "-h", address, "-t", "ready", "-n", timeout=5))
        command("mosquitto_pub", "-h", address, "-t", "kept", "-f", path, "-q", "2", "-r")
        with subprocess.Popen([find("mosquitto_sub"), "-h", address, "-t", "a/#", "-q", "1", "-C", "2", "-W", "20"],
                              stdout=subprocess.PIPE) as listener:
            got = command("mosquitto_sub", "-h", address, "-t", "kept", "-C", "1", "-N", "-W", "20")
            same(got, digest, "a message that is kept")

            def publish():
                command("mosquitto_pub", "-h", address, "-t", "a/b", "-m", "one", "-q", "1")
                return listener.poll()
            need(until(publish, deadline=20, step=0.3) == 0, "the subscriber got nothing")
            need(listener.stdout.read() == b"one\none\n", "the subscriber got something else")


def iperf3(way, _folder, ground):
    address = INSIDE[way]
    with guest(["iperf3", "-s"], net_options(way, [5201, "5201/udp"]), ground=ground, stops=False):
        def measure(*words):
            answer = json.loads(command("iperf3", "-J", "-c", address, *words, timeout=30))
            if "error" in answer:
                raise Failure(f"iperf3 {words}: {answer['error']}")
            return answer["end"]["sum_received"]
        until(lambda: measure("-n", "1K"))
        for words in (("-t", "1"), ("-n", "32M", "-R"), ("-n", "32M", "-P", "4"), ("-t", "1", "--bidir")):
            need(until(lambda: measure(*words))["bytes"] > 1 << 20, f"hardly anything with {words}")
        for words in (("-t", "1", "-u", "-b", "20M"), ("-t", "1", "-u", "-b", "20M", "-R")):
            def most_of_it(words=words):
                """A host that stands still for a tenth of a second loses a tenth: not each time."""
                result = measure(*words)
                need(result["bytes"] > 1 << 20, f"hardly anything with {words}")
                need(result["lost_percent"] < 20, f"{result['lost_percent']} % lost with {words}")
                return True
            until(most_of_it)


def dns_query(name):
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", 0x4242, 0x100, 1, 0, 0, 0) + question + struct.pack(">HH", 1, 1)


def dnsmasq(way, _folder, ground):
    words = ["dnsmasq", "-d", "-u", "root", "-R", "-h", "--port=53", "--pid-file=", "--log-facility=-",
             "--address=/server.test/192.0.2.7"]
    query, address = dns_query("server.test"), bytes([192, 0, 2, 7])
    with guest(words, net_options(way, [53, "53/udp"]), ground=ground):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(1)

            def once():
                link.sendto(query, (INSIDE[way], 53))
                return link.recv(512)
            answer = until(once)
            need(answer[:2] == query[:2] and answer.endswith(address), f"by UDP: {answer!r}")
        with socket.create_connection((INSIDE[way], 53), timeout=10) as link:
            link.sendall(struct.pack(">H", len(query)) + query)
            need(link.recv(512).endswith(address), "no answer by TCP")


def lighttpd(way, folder, ground):
    site = Site(folder)
    config, _ = write(folder, "lighttpd.conf", 'server.document-root = "/site"\nserver.port = 80\nserver.modules = ()\n'
                      'index-file.names = ("index.html")\n')
    options = [*net_options(way, [80]), "--file", f"{config}:/l.conf", "--file", f"{site.folder}:/site"]
    with guest(["lighttpd", "-D", "-f", "/l.conf"], options, ground=ground) as it:
        it.ends_with += (1,)  # as it ends where a connection is not quite closed
        until(lambda: ask(INSIDE[way], 80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"))
        site.check(f"http://{INSIDE[way]}")


VCL = """vcl 4.1;
backend far {{ .host = "{outside}"; .port = "8099"; }}
sub vcl_deliver {{ set resp.http.X-Hits = obj.hits; }}
"""


def compile_vcl(folder, config):
    """What varnishd would have a compiler make of it when it starts: there is none in the guest."""
    os.chmod(folder, 0o755)  # it reads as a user of its own
    result = subprocess.run([find("varnishd"), "-C", "-f", config, "-n", os.path.join(folder, "n")],
                            capture_output=True, timeout=60, check=False)
    source, _ = write(folder, "vcl.c", result.stdout + result.stderr)
    command("gcc", "-O1", "-w", "-fPIC", "-shared", "-o", os.path.join(folder, "vcl.so"), source)
    return os.path.join(folder, "vcl.so")


def varnish(way, folder, ground):
    """A manager and the worker that it forks, in front of another server."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    need_programs("varnishd", "gcc")
    site = Site(folder)
    config, _ = write(folder, "default.vcl", VCL.format(outside=OUTSIDE[way]))
    words = ["varnishd", "-F", "-a", ":80", "-f", "/v.vcl", "-n", "/tmp/v", "-s", "malloc,32M", "-j", "none",
             "-p", "cc_command=exec cp /v.so %o"]
    options = [*net_options(way, [80]), "--file", f"{config}:/v.vcl", "--file", f"{compile_vcl(folder, config)}:/v.so"]
    for tool in ("sh", "cp", "rm"):
        options += ["--allow-exec", f"/bin/{tool}"]
    with background("python3", "-m", "http.server", "8099", cwd=site.folder), \
            guest(words, options, ground=ground, memory="256M", stops=False):
        until(lambda: ask(INSIDE[way], 80, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n"))
        site.check(f"http://{INSIDE[way]}")
        head = fetch("-I", f"http://{INSIDE[way]}/index.html")
        need(b"X-Hits: " in head and b"X-Hits: 0" not in head, f"not from the cache: {head!r}")


def varnish_by_default(way, folder, ground):
    """As its package starts it: it has the compiler make its configuration, in the guest."""
    if ground != "vm" or way != "user":
        raise Skip("the other way and ground have been seen")
    need_programs("varnishd", "gcc")
    site = Site(folder)
    words = ["varnishd", "-F", "-a", ":80", "-b", OUTSIDE[way] + ":8099", "-s", "malloc,32M"]
    with background("python3", "-m", "http.server", "8099", cwd=site.folder), \
            guest(words, net_options(way, [80]), ground=ground, memory="384M", stops=False):
        until(lambda: ask(INSIDE[way], 80, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n"), deadline=90)
        site.check(f"http://{INSIDE[way]}")


SQUID = """http_port 3128
http_access allow all
cache_mem 16 MB
access_log none
cache_log stdio:/dev/stderr
pid_filename none
pinger_enable off
refresh_pattern . 10 100% 20
shutdown_lifetime 0 seconds
"""


def squid(way, folder, ground):
    """A proxy: the process that watches and the one that serves."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    need_programs("squid")
    site = Site(folder)
    config, _ = write(folder, "squid.conf", SQUID)
    options = [*net_options(way, [3128]), "--file", f"{config}:/s.conf"]
    with background("python3", "-m", "http.server", "8099", cwd=site.folder), \
            guest(["squid", "--foreground", "-f", "/s.conf"], options, ground=ground, memory="256M", stops=False):
        page = f"http://{OUTSIDE[way]}:8099/index.html"
        proxy = f"http://{INSIDE[way]}:3128"
        until(lambda: ask(INSIDE[way], 3128, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"), deadline=60)
        for _ in range(2):
            same(fetch("-x", proxy, page), site.page, "the page through the proxy")
        head = fetch("-x", proxy, "-I", page)
        need(b"X-Cache: HIT" in head, f"not from its memory: {head!r}")


GUNICORN = """import os
def app(environ, start):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %d\\n" % (os.getpid(), len(body))]
"""


def gunicorn(way, folder, ground):
    """A master and two workers that it forks."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    need_programs("gunicorn")
    app, _ = write(folder, "app.py", GUNICORN)
    options = [*net_options(way, [8000]), "--file", f"{app}:/srv/app.py"]
    words = ["gunicorn", "-w", "2", "-b", "0.0.0.0:8000", "--chdir", "/srv", "app:app"]
    path, _ = write(folder, "body", os.urandom(300_000))
    with guest(words, options, ground=ground, memory="256M"):
        until(lambda: ask(INSIDE[way], 8000, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n"), deadline=60)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: fetch("--data-binary", f"@{path}", f"http://{INSIDE[way]}:8000/"), range(40)))
        need({got.split()[1] for got in answers} == {b"300000"}, f"not all that was sent: {answers[0]!r}")
        need(len({got.split()[0] for got in answers}) == 2, "one worker did it all")


APACHE = """ServerName server.test
User www-data
Group www-data
Listen 80
PidFile /tmp/apache2.pid
Mutex pthread
ErrorLog /proc/self/fd/2
DocumentRoot /site
StartServers 2
ServerLimit 2
ThreadsPerChild 8
MaxRequestWorkers 16
<Directory /site>
    Require all granted
</Directory>
"""


def apache(way, folder, ground, workers="event"):
    """Its workers are processes with threads (mpm_event)."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    site = Site(folder)
    modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
                      for name in (f"mpm_{workers}", "authz_core"))
    config, _ = write(folder, "apache2.conf", modules + (APACHE if workers == "event" else APACHE.replace("ThreadsPerChild", "MaxSpareServers")))
    options = [*net_options(way, [80]), "--file", f"{config}:/apache2.conf", "--file", f"{site.folder}:/site"]
    with guest(["apache2", "-DFOREGROUND", "-f", "/apache2.conf"], options, ground=ground, stops=False):
        until(lambda: ask(INSIDE[way], 80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 "))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for got in pool.map(fetch, [f"http://{INSIDE[way]}/large.bin"] * 4):
                same(got, site.large, "one of four at once")
        site.check(f"http://{INSIDE[way]}")


def apache_prefork(way, folder, ground):
    """A process a connection (mpm_prefork)."""
    apache(way, folder, ground, "prefork")


PHP = """[global]
error_log = /dev/stderr
daemonize = no
[www]
user = nobody
group = nogroup
listen = /run/php.sock
pm = static
pm.max_children = 3
pm.max_requests = 20
catch_workers_output = yes
"""
PHP_NGINX = """user nobody nogroup; worker_processes 2; error_log stderr; pid /tmp/nginx.pid; daemon off;
events {} http { access_log off; server { listen 80; root /site; location / { fastcgi_pass unix:/run/php.sock;
fastcgi_param SCRIPT_FILENAME /site$uri; fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; } } }
"""
PHP_PAGE = """<?php
file_put_contents('/tmp/count', "x", FILE_APPEND | LOCK_EX);
echo fileowner('/tmp/count'), ' ', fileowner('/proc/self'), ' ';
echo strlen(file_get_contents('php://input')), ' ', md5(file_get_contents('php://input')), ' ', array_sum(range(1, (int)$_GET['n']));
"""


def php_fpm(way, folder, ground):
    """nginx before php-fpm's three children, which are replaced after twenty requests each, as user nobody."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    need_programs("php-fpm8.2", "nginx", "curl")
    options = [*net_options(way, [80]), "--cpus", "2"]
    for name, text, place in (("php.conf", PHP, "/php.conf"), ("nginx.conf", PHP_NGINX, "/nginx.conf"), ("page.php", PHP_PAGE, "/site/page.php"),
                              ("passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", "/etc/passwd"),
                              ("group", "root:x:0:\nnogroup:x:65534:\n", "/etc/group")):
        options += ["--file", f"{write(folder, name, text)[0]}:{place}"]
    for name in ("php-fpm8.2", "nginx", "chown", "sleep", "chmod"):
        options += ["--allow-exec", name]
    script = "php-fpm8.2 -n -y /php.conf & until [ -S /run/php.sock ]; do sleep 0.1; done; chmod 666 /run/php.sock; exec nginx -c /nginx.conf"
    body = os.urandom(300_000)
    path, _ = write(folder, "body", body)
    wanted = f"65534 65534 {len(body)} {hashlib.md5(body).hexdigest()} 5050".encode()
    with guest(["/bin/sh", "-c", script], options, memory="256M", ground=ground, stops=False):
        until(lambda: ask(INSIDE[way], 80, b"GET /page.php?n=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"))
        url = f"http://{INSIDE[way]}/page.php?n=100"
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for got in pool.map(lambda _: command("curl", "-sS", "-m", "30", "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{path}", url), range(100)):
                need(got == wanted, f"php answered {got[:200]!r}")


SERVERS = (redis, memcached, nginx, nginx_workers, apache, apache_prefork, php_fpm, python, node, go, haproxy, mosquitto, iperf3, dnsmasq, lighttpd,
           varnish, varnish_by_default, squid, gunicorn)


def without_rights():
    """Any user can publish a port: nothing here is root's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["redis-server", "--protected-mode", "no", "--save", ""]
    with guest(words, ["-p", f"127.0.0.1:{port}:6379"]):
        until(lambda: ask("127.0.0.1", port, b"PING\r\n", b"+PONG\r\n"))


LEAST = {  # MiB, and what is asked: the little memory in which a server still serves
    "redis-server": (12, ["--protected-mode", "no", "--save", ""], 6379, b"SET a b\r\n", b"+OK\r\n"),
    "nginx": (10, ["-g", "daemon off; master_process off;"], 80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    "memcached": (10, ["-u", "root"], 11211, b"set a 0 0 1\r\nb\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\nb\r\n"),
}


def least_memory(program):
    memory, args, port, request, wanted = LEAST[program]
    with namespace(TAP), tempfile.TemporaryDirectory() as folder:
        page, _ = write(folder, "index.html", b"x" * 612)
        config, _ = write(folder, "nginx.conf", "user root; error_log stderr; pid /tmp/nginx.pid; events { }\n"
                          "http { access_log off; server { listen 80; root /site; } }\n")
        options = [*net_options("tap"), "--file", f"{page}:/site/index.html", "--file", f"{config}:/etc/nginx/nginx.conf"]
        with guest([program, *args], options, memory=f"{memory}M"):
            until(lambda: ask(INSIDE["tap"], port, request, wanted))
            for _ in range(200):
                need(ask(INSIDE["tap"], port, request, wanted), "no answer")


def by_ip6(ground):
    """Over a tap at a fixed IPv6 address: a value of three megabytes both ways, and fifty clients."""
    need_programs("redis-cli", "redis-benchmark")
    options = [*net_options("tap"), "--append", f"ingot.ip6={GUEST6}/64"]
    words = ["redis-server", "--protected-mode", "no", "--save", ""]
    with namespace(TAP), tempfile.TemporaryDirectory() as folder, guest(words, options, ground=ground):
        until(lambda: ask(GUEST6, 6379, b"PING\r\n", b"+PONG\r\n"))
        path, digest = write(folder, "value", os.urandom(3 << 20))
        with open(path, "rb") as file:
            command("redis-cli", "-h", GUEST6, "-x", "set", "k", stdin=file.read())
        same(command("redis-cli", "-h", GUEST6, "--raw", "get", "k")[:-1], digest, "a value of 3 MiB")
        command("redis-benchmark", "-h", GUEST6, "-q", "-c", "50", "-n", "2000", "-t", "incr")
        need(command("redis-cli", "-h", GUEST6, "get", "counter:__rand_int__") == b"2000\n", "not all INCR counted")


TYPED = {  # lines of docs/guide/network.md, and what is asked then
    "ingot run -p 6379:6379 redis-server --protected-mode no --save ''": (6379, b"PING\r\n", b"+PONG\r\n"),
    "ingot run -p 127.0.0.1:8000:8000 python3 -m http.server": (8000, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK"),
    "ingot run -p 8080:80 --file ./site:/var/www/html nginx -g 'daemon off;'":
        (8080, b"GET /page.html HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK"),
    "ingot run -p 11211:11211 -p 11211:11211/udp memcached -u root -U 11211": (11211, b"version\r\n", b"VERSION "),
}


def typed_program(line):
    return next(word for word in line.split() if word in ("redis-server", "python3", "nginx", "memcached"))


def as_typed(line, ground):
    """A line of the guide, as it stands there."""
    with open(os.path.join(ROOT, "docs", "guide", "network.md"), encoding="utf-8") as file:
        need(f"    {line}\n" in file.read(), f"the guide does not have: {line}")
    port, request, wanted = TYPED[line]
    words = shlex.split(line)[1:]
    need_programs(typed_program(line))
    with namespace(), tempfile.TemporaryDirectory() as folder:
        write(folder, "site/page.html", b"<p>mine</p>")
        with background(INGOT, *words, cwd=folder, env={"INGOT_ISOLATION": ground}) as child:
            until(lambda: ask("127.0.0.1", port, request, wanted))
            child.send_signal(signal.SIGINT)
            child.wait(timeout=20)


def serve(test, way, ground):
    with namespace(*([TAP] if way == "tap" else [])), tempfile.TemporaryDirectory() as folder:
        test(way, folder, ground)


def add_to(suite):
    suite.add("server: without_rights", without_rights)
    for program in LEAST:
        suite.add(f"server: {program} in {LEAST[program][0]} MiB", least_memory, program)
    for ground in ("vm", "process"):
        for line in TYPED:
            name = typed_program(line)
            if (name, ground) != ("nginx", "process"):  # several processes, which only a VM has
                suite.add(f"server: {name} as typed in a {ground}", as_typed, line, ground)
        suite.add(f"server: redis by IPv6 in a {ground}", by_ip6, ground)
    for test in SERVERS:
        for ground, way in WAYS:
            suite.add(f"server: {test.__name__} by {way} in a {ground}", serve, test, way, ground)
