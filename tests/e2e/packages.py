"""Servers as Debian has installed them, with nothing said but their names: what they need that no header names comes along."""
import os
import tempfile
import zipfile

from commands import Home
from harness import Skip, need, run
from netlab import ask, find, guest, namespace, need_programs, net_options, until, write

HTTP = (b"GET /page.txt HTTP/1.0\r\n\r\n", b"HTTP/1.")
BIND = (bytes.fromhex("300c020101600702010304008000"), bytes.fromhex("300c02010161070a0100"))
TOMCAT = "/usr/share/tomcat10"
RUBY = {"config.ru": b"require './app'\nrun Sinatra::Application\n",
        "app.rb": b"require 'sinatra'\nset :bind, '0.0.0.0'\nset :port, 8000\nget('/page.txt') { 'ruby' }\n"}
SERVERS = {  # words, a port of the guest with a question and its answer or what it says, files of the current folder
    "freeradius": (("freeradius", "-f", "-l", "stdout"), "Ready to process requests", {}),
    "slapd": (("slapd", "-d", "256", "-h", "ldap:///"), (389, *BIND), {}),
    "slapd as its user": (("slapd", "-d", "256", "-u", "openldap", "-g", "openldap", "-h", "ldap:///"), (389, *BIND), {}),
    "unbound": (("unbound", "-dd"), "start of service", {}),
    "prosody": (("prosody", "-F"), (5222, b"<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' "
                                          b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>", b"<?xml"), {}),
    "tomcat": (("java", "-cp", f"{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar", f"-Dcatalina.home={TOMCAT}",
                "-Dcatalina.base=/var/lib/tomcat10", "org.apache.catalina.startup.Bootstrap", "start"), (8080, *HTTP), {}),
    "tor": (("tor",), "Bootstrapped 0%", {}),
    "inspircd": (("inspircd", "--nofork"), "is now running as", {}),
    "chrony": (("chronyd", "-d", "-x", "-L", "0"), "Disabled control of system clock", {}),
    "sinatra": (("ruby", "app.rb"), (8000, *HTTP), RUBY),
    "rackup": (("rackup", "-o", "0.0.0.0", "-p", "8000"), (8000, *HTTP), RUBY),
    "thin": (("thin", "start", "-p", "8000"), (8000, *HTTP), RUBY),
}
NEEDED = {"unbound": "/usr/share/dns/root.key", "tomcat": f"{TOMCAT}/bin/bootstrap.jar", "freeradius": "/etc/freeradius/3.0/mods-enabled/eap",
          **dict.fromkeys(("sinatra", "rackup", "thin"), "/usr/share/rubygems-integration/all/specifications/sinatra-3.0.5.gemspec")}
USERS = {"prosody": "prosody", "tor": "debian-tor", "inspircd": "irc"}  # who shut down as root, or keep what is theirs
BOTH = ("slapd",)  # in a virtual machine as well


def installed(name, ground):
    words, answer, files = SERVERS[name]
    need_programs(words[0])
    if not os.path.exists(NEEDED.get(name, "/")):
        raise Skip(f"{NEEDED[name]} is not installed")
    options = net_options("user", [] if isinstance(answer, str) else answer[:1])
    if name in USERS:
        options += ["--user", USERS[name]]
    with namespace(), tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            write(folder, path, text)
        with guest(words, options, ground=ground, memory="1G" if name == "tomcat" else "256M", cwd=folder, stops=name not in ("tomcat", "inspircd")) as it:
            if isinstance(answer, str):
                until(lambda: answer in it.said() or it.need_alive())
            else:
                until(lambda: ask("127.0.0.1", *answer), deadline=60)
            need(not any(text in it.said() for text in ("not built", "Wrong owner")), "it warns of what is missing")


def class_path_of_a_manifest():
    """What the manifest of an archive names comes along, and what that one names."""
    if not find("javac") or not find("java"):
        raise Skip("no JDK")
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        for name, needs in (("A", '"a"'), ("B", "A.say()"), ("C", "B.say()")):
            write(folder, f"{name}.java", f'class {name} {{ static String say() {{ return {needs} + "{name}"; }} public static void '
                                          "main(String[] args) { System.out.println(say()); } }".encode())
        run(["javac", "-d", folder, *(os.path.join(folder, f"{name}.java") for name in "ABC")])
        long = "lib/" + "x" * 70 + ".jar"  # in two lines
        manifests = {"c.jar": ("C", f"Main-Class: C\r\nClass-Path: no.jar {long[:50]}\r\n {long[50:]}\r\n", zipfile.ZIP_DEFLATED),
                     long: ("B", "Class-Path: ../a.jar a.jar\r\n", zipfile.ZIP_STORED), "lib/a.jar": ("A", "Class-Path: a.jar\r\n", zipfile.ZIP_STORED)}
        os.makedirs(f"{folder}/lib")
        for path, (name, text, kind) in manifests.items():
            with zipfile.ZipFile(f"{folder}/{path}", "w", kind) as jar:
                jar.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\n{text}\r\n")
                jar.write(f"{folder}/{name}.class", f"{name}.class")
        said = home.good("run", "-m", "512M", find("java"), "-jar", "c.jar", cwd=folder, env={"INGOT_ISOLATION": "process"}, timeout=120)
        need(said == "aABC\n", f"not all came: {said!r}")


def private_files_are_named():
    """Who builds an image hears that it has what others may not read."""
    need_programs("slapd")
    with Home() as home:
        result = home.ingot("build", "-t", "ldap:1", find("slapd"))
        need(result.status == 0 and "the image has /etc/ldap/slapd.d/" in result.errors(), f"not told:\n{result.show()}")
        for words in (("-q", "-t", "ldap:2", find("slapd")), ("-t", "cat:1", find("cat"))):
            result = home.ingot("build", *words)
            need(result.status == 0 and "mind whom" not in result.errors(), f"told for nothing:\n{result.show()}")


def makefile_by_default():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        need_programs("make")
        write(folder, "Makefile", b"all: ; @echo made\n")
        need(home.good("run", "-q", find("make"), cwd=folder) == "made\n", "its Makefile did not come along")


def add_to(suite):
    for name in SERVERS:
        for ground in ("vm", "process") if name in BOTH else ("process",):
            suite.add(f"installed: {name} in a {ground}", installed, name, ground)
    suite.add("installed: class path of a manifest", class_path_of_a_manifest)
    suite.add("installed: private files are named", private_files_are_named)
    suite.add("installed: make finds its Makefile", makefile_by_default)
