"""Programs in a guest that ask others: names looked up, certificates checked, files fetched, from
servers that run natively beside it."""
import contextlib
import http.server
import os
import socket
import ssl
import tempfile
import threading

from harness import INGOT, Skip, need, run
from netlab import (OUTSIDE, TAP, WAYS, Site, background, certificate, command, find, namespace, need_programs,
                    net_options, same, until, write)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def web_server(port, folder, chain=None, kind=http.server.ThreadingHTTPServer, address=""):
    """A web server of this process's threads, over TLS with chain=(certificate, key)."""
    def handler(*args):
        return Quiet(*args, directory=folder)
    with kind((address, port), handler) as server:
        if chain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*chain)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def name_server(way):
    """A resolver that knows server.test."""
    return background("dnsmasq", "-k", "-u", "root", "-R", "-h", "--port=53", "--pid-file=", "--bind-interfaces",
                      f"--address=/server.test/{OUTSIDE[way]}")


class Client:
    """Runs programs in guests: each sees this side's name server in the image's resolv.conf."""

    def __init__(self, way, folder, ground, files=()):
        resolv, _ = write(folder, "resolv.conf", f"nameserver {OUTSIDE[way]}\n")
        self.options = [*net_options(way), "--isolation", ground, "-m", "128M"]
        for pair in (f"{resolv}:/etc/resolv.conf", *files):
            self.options += ["--file", pair]

    def run(self, *words, stdin=b"", timeout=60, options=()):
        need_programs(words[0])
        return run([INGOT, "run", *self.options, *options, find(words[0]), *words[1:]], stdin=stdin, timeout=timeout)

    def out(self, *words, **kwargs):
        """Its standard output; it must succeed."""
        result = self.run(*words, **kwargs)
        need(result.status == 0, f"{words[0]}: status {result.status}\n{result.show()}")
        return result.out


def curl(way, folder, ground):
    site = Site(folder)
    ca, cert, key = certificate(folder)
    client = Client(way, folder, ground, [f"{ca}:/etc/ssl/certs/ca-certificates.crt"])
    with name_server(way), web_server(80, site.folder), web_server(443, site.folder, (cert, key)):
        for base in ("https://server.test", f"https://{OUTSIDE[way]}", "http://server.test"):
            got = client.out("curl", "-sS", "-m", "30", f"{base}/large.bin")
            same(got, site.large, f"the file from {base}")
        refused = client.run("curl", "-sS", "-m", "30", "--cacert", "/etc/passwd", "https://server.test/")
        need(refused.status in (60, 77), f"without the CA: status {refused.status}\n{refused.show()}")
        unknown = client.run("curl", "-sS", "-m", "30", "http://nobody.test/")
        need(unknown.status == 6, f"a name that is not there: status {unknown.status}\n{unknown.show()}")
        closed = client.run("curl", "-sS", "-m", "30", "http://server.test:9/")
        need(closed.status == 7, f"a port nobody listens on: status {closed.status}\n{closed.show()}")
        need(closed.seconds < 25, f"a refusal took {closed.seconds:.0f} s")


def curl_by_ip6(folder, ground):
    """The user network's router tells of itself when asked, which the first connection waits for."""
    site = Site(folder)
    client = Client("user", folder, ground)
    with web_server(8000, site.folder, kind=Server6, address="::1"):
        for _ in range(3):
            got = client.out("curl", "-sS", "-m", "30", "-g", "http://[fec0::2]:8000/large.bin")
            same(got, site.large, "the file")
        refused = client.run("curl", "-sS", "-m", "30", "-g", "http://[fec0::2]:9/")
        need(refused.status == 7, f"a port nobody listens on: status {refused.status}\n{refused.show()}")


def wget(way, folder, ground):
    site = Site(folder)
    client = Client(way, folder, ground)
    with name_server(way), web_server(8000, site.folder):
        same(client.out("wget", "-q", "-O", "-", "http://server.test:8000/large.bin"), site.large, "the file")


def redis_cli(way, folder, ground):
    client, value = Client(way, folder, ground), os.urandom(1 << 20)
    _, digest = write(folder, "value", value)
    with name_server(way), background("redis-server", "--protected-mode", "no", "--save", ""):
        until(lambda: command("redis-cli", "ping"))
        client.out("redis-cli", "-h", OUTSIDE[way], "-x", "set", "k", stdin=value)
        same(client.out("redis-cli", "-h", "server.test", "--raw", "get", "k")[:-1], digest, "the value")


def ping(way, folder, ground):
    client = Client(way, folder, ground)
    with name_server(way):
        for whom in (OUTSIDE[way], "server.test"):
            text = client.out("ping", "-c", "3", "-i", "0.2", whom).decode()
            need("3 packets transmitted, 3 received, 0% packet loss" in text, text)
        if way == "tap":
            lost = client.run("ping", "-c", "1", "-W", "1", "10.77.0.9")
            need(lost.status == 1 and b"100% packet loss" in lost.out, f"status {lost.status}\n{lost.show()}")


def netcat(way, folder, ground):
    client, data = Client(way, folder, ground), os.urandom(2 << 20)
    path, digest = write(folder, "data", data)
    received = os.path.join(folder, "received")
    # One way at a time: a listening nc ends when its peer has sent all, whatever is left of its own.
    with background("sh", "-c", f"exec nc -N -l -p 7000 <{path}"):
        until(lambda: b":7000" in command("ss", "-ltn") or None)
        same(client.out("nc", "-d", OUTSIDE[way], "7000"), digest, "what came")
    with background("sh", "-c", f"exec nc -l -p 7000 </dev/null >{received}"):
        until(lambda: b":7000" in command("ss", "-ltn") or None)
        client.out("nc", "-N", OUTSIDE[way], "7000", stdin=data)
    with open(received, "rb") as file:
        same(file.read(), digest, "what was sent")


def git_repository(folder):
    """A bare repository with a file of a megabyte and two commits; (its folder, the file's sum)."""
    source, bare = os.path.join(folder, "source"), os.path.join(folder, "web", "some.git")
    me = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    os.makedirs(source)
    command("git", *me, "init", "-q", source)
    for text in ("first", "second"):
        _, digest = write(source, "a.bin", text.encode() + os.urandom(1 << 20))
        command("git", "-C", source, "add", "a.bin")
        command("git", *me, "-C", source, "commit", "-q", "-m", text)
    command("git", "clone", "-q", "--bare", source, bare)
    command("git", "-C", bare, "update-server-info")
    return bare, digest


def git(way, folder, ground):
    """A clone by HTTPS and HTTP of plain files, and by git's own protocol from its daemon."""
    if ground != "vm":
        raise Skip("a sandboxed process is one process")
    need_programs("git", "bash", "cat")
    bare, digest = git_repository(folder)
    web = os.path.dirname(bare)
    ca, cert, key = certificate(folder)
    client = Client(way, folder, ground, [f"{ca}:/etc/ssl/certs/ca-certificates.crt"])
    options = ["--with", "git", "--with", "git-core", "--allow-exec", "@any", "-m", "256M"]
    for program in (find("git"), find("cat"), "/usr/lib/git-core/git-remote-http"):
        options += ["--allow-exec", program]
    with name_server(way), web_server(8000, web), web_server(443, web, (cert, key)), \
            background("git", "daemon", "--export-all", "--reuseaddr", f"--base-path={web}", web):
        until(lambda: b":9418" in command("ss", "-ltn") or None)
        for url in ("http://server.test:8000/some.git", "https://server.test/some.git", "git://server.test/some.git"):
            script = f"git clone -q {url} /tmp/here && cat /tmp/here/a.bin && git -C /tmp/here log --oneline >&2"
            result = client.run("bash", "-c", script, options=options, timeout=90)
            need(result.status == 0, f"{url}: status {result.status}\n{result.show()}")
            same(result.out, digest, f"the file of a clone of {url}")
            need(len(result.errors().splitlines()) >= 2, f"{url}: not both commits\n{result.errors()}")


def resolver(way, folder, ground):
    """Without a resolv.conf of the image's the kernel makes one, of what --net said."""
    need_programs("dnsmasq", "unshare")
    site = Site(folder)
    path, _ = write(folder, "host-resolv", "nameserver 127.0.0.1\n")
    wrap = ["unshare", "-m", "sh", "-c", f'mount --bind {path} /etc/resolv.conf && exec "$@"', "sh"]
    with name_server(way), web_server(8000, site.folder):
        result = run([*wrap, INGOT, "run", "--isolation", ground, *net_options(way), find("curl"), "-sS", "-m", "30",
                      "http://server.test:8000/index.html"])
        need(result.status == 0, f"status {result.status}\n{result.show()}")
        same(result.out, site.page, "the page")


CLIENTS = (curl, wget, redis_cli, ping, netcat, git, resolver)


def ask(test, way, ground):
    with namespace(*([TAP] if way == "tap" else [])), tempfile.TemporaryDirectory() as folder:
        test(way, folder, ground)


def add_to(suite):
    for test in CLIENTS:
        for ground, way in WAYS:
            suite.add(f"client: {test.__name__} by {way} in a {ground}", ask, test, way, ground)
    for ground in ("vm", "process"):
        suite.add(f"client: curl_by_ip6 in a {ground}", ask, lambda _, *where: curl_by_ip6(*where), "user", ground)
