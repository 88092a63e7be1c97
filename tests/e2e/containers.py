"""Container images as targets: OCI layouts and archives of podman, Docker and buildah, made here by hand."""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile

from commands import Home
from harness import Skip, need
from netlab import find

BUSYBOX = "/bin/busybox"
ELSEWHERE = {"architecture": "arm64", "os": "linux"}
HERE = {"architecture": "amd64", "os": "linux"}


def member(name, data=None, mode=0o644, **more):
    """One entry of a layer: a folder where @data is None, else a file; or what @more says (type, linkname, uid ...)."""
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
    info.mtime = 1700000000
    for key, value in more.items():
        setattr(info, key, value)
    if data is not None and info.type == tarfile.REGTYPE:
        info.size = len(data)
        return info, io.BytesIO(data)
    return info, None


def layer(*members):
    """A tar archive of them, as bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, data)
    return out.getvalue()


def busybox():
    """A layer with a shell and the usual commands."""
    if not os.path.exists(BUSYBOX):
        raise Skip("busybox-static is not installed")
    with open(BUSYBOX, "rb") as file:
        program = file.read()
    return layer(member("bin", mode=0o755), member("bin/busybox", program, 0o755),
                 *(member(f"bin/{name}", b"", type=tarfile.SYMTYPE, linkname="busybox")
                   for name in ("sh", "cat", "ls", "stat", "id", "grep", "tr", "tail", "echo", "wc", "sleep", "kill")))


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI image layout in a folder."""

    def __init__(self, path):
        self.path = path
        self.index = []
        os.makedirs(os.path.join(path, "blobs/sha256"))
        self.write("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')

    def write(self, name, data):
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(data)

    def blob(self, data, kind, named=None):
        self.write(f"blobs/sha256/{named or digest(data)}", data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{named or digest(data)}", "size": len(data)}

    def manifest(self, layers, settings, platform=None, pack=gzip.compress, top=None):
        """Write an image; its descriptor."""
        config = {**HERE, **(platform or {}), "config": settings,
                  "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(data)}" for data in layers]}, **(top or {})}
        body = {"schemaVersion": 2, "config": self.blob(json.dumps(config).encode(), "config.v1+json"),
                "layers": [self.blob(pack(data), "layer.v1.tar+gzip") for data in layers]}
        return self.blob(json.dumps(body).encode(), "manifest.v1+json")

    def close(self, *entries):
        """Write the index, and give the path back."""
        self.write("index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
        return self.path


def named(entry, name):
    return {**entry, "annotations": {"org.opencontainers.image.ref.name": name}}


def image(folder, layers, settings=None, name="oci", **more):
    """A layout of one image."""
    layout = Layout(os.path.join(folder, name))
    return layout.close(layout.manifest(layers, settings or {"Cmd": ["/bin/sh"]}, **more))


def refused(home, target, *words):
    """It gives one line, no more, and leaves nothing behind."""
    result = home.ingot("build", "-q", target)
    said = result.errors()
    need(result.status == 1 and said.count("\n") == 1, f"{target}: status {result.status}\n{result.show()}")
    for word in words:
        need(word in said, f"{target}: no '{word}' in: {said}")
    left = [name for name in os.listdir(os.path.join(home.store, "tmp")) if not name.startswith(".")]
    need(not left, f"{target}: left {left}")


def test_layers_one_above_the_other():
    """Whiteouts, emptied folders, links on the way, hard links, owners, modes, a folder for a file and a file for a folder."""
    below = layer(member("usr", mode=0o755), member("usr/lib", mode=0o755), member("lib", b"", type=tarfile.SYMTYPE, linkname="usr/lib"),
                  member("d", mode=0o755), member("d/gone", b"1"), member("d/kept", b"2"), member("gone", mode=0o755), member("gone/x", b"3"),
                  member("o", mode=0o700, uid=70000, gid=12), member("o/old", b"4"), member("becomes-file", mode=0o755),
                  member("becomes-file/x", b"5"), member("becomes-dir", b"6"), member("a", b"shared", 0o4640, uid=7, gid=8))
    above = layer(member("d/.wh.gone", b""), member(".wh.gone", b""), member("o/new", b"7", uid=70001), member("o/.wh..wh..opq", b""),
                  member("lib/so", b"8"), member("becomes-file", b"9"), member("becomes-dir", mode=0o755), member("becomes-dir/x", b"10"),
                  member("b", b"", type=tarfile.LNKTYPE, linkname="a"), member("secret", b"11", 0o000), member("x" * 150 + "/" + "y" * 150, b"12"),
                  member("null", b"", type=tarfile.CHRTYPE), member("gone2/.wh.nothing", b""))
    script = ("cat /d/kept /o/new /usr/lib/so /becomes-file /becomes-dir/x /secret /x*/y*; echo; ls /d /o; "
              "stat -c '%a %u %g %h' /a /b /o /o/new; [ ! -e /gone ] && [ ! -e /d/gone ] && [ ! -e /null ] && [ /a -ef /b ] && "
              "[ ! -e /d/.wh.gone ] && echo right")
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        path = image(folder, [busybox(), below, above])
        said = home.good("run", "-q", "--isolation", "vm", path, "/bin/sh", "-c", script)
        lines = said.split("\n")
        need(lines[0] == "2789101112", f"contents\n{said}")
        need("kept" in said and "gone" not in said and "old" not in said, f"names\n{said}")
        need(lines[-6:] == ["4640 7 8 2", "4640 7 8 2", "700 70000 12 2", "644 70001 0 1", "right", ""], f"owners and modes\n{said}")
        said = home.good("run", "-q", "--isolation", "process", "--entrypoint", "/bin/cat", path, "/d/kept", "/secret", "/lib/so")
        need(said == "2118", f"in a process: {said!r}")


def test_settings_are_those_of_the_image():
    """ENTRYPOINT found in PATH, CMD, ENV, WORKDIR, EXPOSE, HEALTHCHECK, VOLUME, STOPSIGNAL, LABEL; what a command line says goes first."""
    start = layer(member("opt/start", b'#!/bin/sh\necho "$0 $* $A $(/bin/busybox pwd)"\n', 0o755))
    settings = {"Entrypoint": ["start", "one"], "Cmd": ["two"], "Env": ["PATH=/opt:/bin", "A=b c"], "WorkingDir": "/made/by/it",
                "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGINT", "Labels": {"k": "v"},
                "Healthcheck": {"Test": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"], "Interval": 30000000000}, "OnBuild": None, "Tty": False}
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        path = image(folder, [busybox(), start], settings)
        need(home.good("build", path, "-t", "it:1").startswith("it:1 "), "its name")
        need(home.good("run", "it:1") == "/opt/start one two b c /made/by/it\n", "as it is")
        need(home.good("run", "-e", "A=d", "-w", "/", "it:1", "three") == "/opt/start one three d /\n", "as asked for")
        config = json.loads(home.good("inspect", "it:1"))
        text = json.dumps(config)
        for word in ("80/tcp", "/data", "SIGINT", "Healthcheck", "start", "A=b c"):
            need(word in text, f"no {word} in {text}")
        with open(os.path.join(folder, "Ingotfile"), "w", encoding="ascii") as file:
            file.write("FROM oci:oci\nCMD [\"from\"]\n")
        need(home.good("run", "-q", folder, cwd=folder) == "/opt/start one from b c /made/by/it\n", "in an Ingotfile")


PEOPLE = layer(member("etc", mode=0o755), member("etc/passwd", b"root:x:0:0::/root:/bin/sh\nbad line\nweb:x:101:102:W:/srv/web:/bin/sh\n"),
               member("etc/group", b"root:x:0:\nweb:x:102:\nlog:x:7:root,web\nother:x:8:root\n"),
               member("srv/web", mode=0o700, uid=101, gid=102), member("secret", b"x", 0o600))


def test_the_user_of_the_image_starts_it():
    """By name and number, with its groups and HOME; its files are its own, root's are not, and its standard output can be opened."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        path = image(folder, [busybox(), PEOPLE], {"Entrypoint": ["/bin/sh", "-c", "id; echo $HOME >/dev/stdout; cd /srv/web && cat /secret"], "User": "web"})
        for words, said, why in ((("-q",), "uid=101(web) gid=102(web) groups=7(log)\n/srv/web\n", "/secret"),
                                 (("-u", "root"), "uid=0(root) gid=0(root) groups=7(log),8(other)\n/root\nx", ""),
                                 (("-u", "101:other"), "uid=101(web) gid=8(other)\n/srv/web\n", "/secret"),
                                 (("-u", "5:6", "-e", "HOME=/x"), "uid=5 gid=6\n/x\n", "/srv/web"),
                                 (("-u", "nobody"), "", "user 'nobody'"),
                                 (("-u", "web:none"), "", "group 'none'")):
            result = home.ingot("run", *words, path)
            need(result.text() == said and why in result.errors(), f"{words}\n{result.show()}")
        said = home.good("run", "--isolation", "process", "--entrypoint", "/bin/id", path)
        need(said == "uid=101(web) gid=102(web) groups=7(log)\n", f"in a process: {said}")
        with open(os.path.join(folder, "Ingotfile"), "w", encoding="ascii") as file:
            file.write("FROM oci:oci\nUSER 7:7\nENTRYPOINT /bin/id\n")
        need(home.good("run", "-q", folder) == "uid=7 gid=7(log)\n", "of an Ingotfile")
        home.good("build", "-q", "-t", "small", "--compress", "lz4", path)
        need("uid=101(web) gid=102(web)" in home.ingot("run", "small").text(), "compressed")
        need(home.good("run", "-q", "-w", "/a/b/c", "--entrypoint", "/bin/busybox", "-u", "0", path, "pwd") == "/a/b/c\n", "a folder for it")


def test_more_words_than_a_command_line_holds_keep_the_labels():
    """What the image says of its programs and its user holds then, too."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        path = image(folder, [busybox(), PEOPLE], {"Entrypoint": ["/bin/busybox", "env"], "User": "web"})
        said = home.good("run", "-q", "-e", "LONG=" + "x" * 5000, path, "/bin/id", "-u")
        need(said == "101\n", said)


def archive(folder, path, name):
    """A tar of what is in @path."""
    with tarfile.open(os.path.join(folder, name), "w") as tar:
        tar.add(path, arcname=".")
    return os.path.join(folder, name)


def docker_archive(folder, layers, settings, tags, name="docker.tar"):
    """As `docker save` wrote it before it knew OCI: the upper one of two equal layers is a link."""
    config = json.dumps({**HERE, "config": settings, "rootfs": {"diff_ids": [f"sha256:{digest(data)}" for data in layers]}}).encode()
    entries = [member(f"{digest(config)}.json", config)]
    for i, data in enumerate(layers):
        entries += [member(f"{i}/layer.tar", data)]
    entries += [member("again/layer.tar", b"", type=tarfile.SYMTYPE, linkname="../0/layer.tar")]
    names = ["again/layer.tar"] + [f"{i}/layer.tar" for i in range(1, len(layers))]
    entries += [member("manifest.json", json.dumps([{"Config": f"{digest(config)}.json", "RepoTags": tags, "Layers": names}]).encode())]
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(layer(*entries))
    return path


def test_each_form_and_its_names():
    settings = {"Entrypoint": ["/bin/echo"], "Cmd": ["hi"]}
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        layout = Layout(os.path.join(folder, "oci"))
        index = layout.blob(json.dumps({"schemaVersion": 2, "manifests": [
            {**layout.manifest([busybox()], settings, ELSEWHERE), "platform": ELSEWHERE},
            {**layout.manifest([busybox()], settings), "platform": HERE}]}).encode(), "index.v1+json")
        layout.close(named(index, "one"), named(layout.manifest([busybox()], {"Cmd": ["/bin/echo", "two"]}, pack=lambda x: x), "registry/x/it:2"))
        tar = archive(folder, layout.path, "oci.tar")
        for target, said in ((f"oci:{layout.path}:one", "hi"), (f"oci:{layout.path}:it:2", "two"), (f"oci-archive:{tar}:one", "hi"),
                             (f"oci-archive:{tar}:2", "two")):
            need(home.good("run", "-q", target) == f"{said}\n", target)
        need(home.good("build", f"oci:{layout.path}:it:2").startswith("it:2 "), "a name of its own")
        refused(home, layout.path, "several images", "registry/x/it:2")
        refused(home, f"oci:{layout.path}:three", "no image 'three'", "one")
        refused(home, f"oci:{folder}/nothing:here", "nothing:here", "No such file")
        docker = docker_archive(folder, [busybox(), layer(member("x", b"y"))], settings, ["docker.io/library/saved:7"])
        need(home.good("build", docker).startswith("saved:7 "), "the name in an archive")
        need(home.good("run", f"docker-archive:{docker}:saved:7", "hello") == "hello\n", "an archive of Docker")
        with open(docker, "rb") as file, open(f"{docker}.gz", "wb") as packed:
            packed.write(gzip.compress(file.read()))
        need(home.good("run", f"{docker}.gz") == "hi\n", "a packed one")
        if find("zstd"):
            zstd = image(folder, [busybox()], settings, "zstd", pack=lambda x: subprocess.run(["zstd", "-qc"], input=x, capture_output=True, check=True).stdout)
            need(home.good("run", "-q", zstd) == "hi\n", "zstd")


def test_hostile_and_broken_ones_are_refused():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        def bad(name, *words, layers=None, settings=None, **more):
            refused(home, image(folder, layers or [layer(member("x", b"y"))], settings, name, **more), *words)
        bad("up", "leads out", layers=[layer(member("../../x", b"y"))])
        bad("hard", "leads out", layers=[layer(member("x", b"", type=tarfile.LNKTYPE, linkname="../etc/passwd"))])
        bad("none", "no file", layers=[layer(member("x", b"", type=tarfile.LNKTYPE, linkname="etc/passwd"))])
        bad("loop", "symbolic links", layers=[layer(member("a", b"", type=tarfile.SYMTYPE, linkname="b"), member("b", b"", type=tarfile.SYMTYPE, linkname="a"),
                                                    member("a/x", b"y"))])
        bad("root", "root", layers=[layer(member(".", b"y"))])
        bad("both", "a folder and a file", layers=[layer(member("a", mode=0o755), member("a", b"y"))])
        bad("long", "4096", layers=[layer(member("n/" * 3000, b"y"))])
        bad("torn", "ends within", layers=[layer(member("x", b"y" * 5000))[:2000]])
        bad("text", "neither a tar", layers=[b"no archive at all" * 100])
        bad("packed", "gzip", pack=lambda x: gzip.compress(x)[:-20])
        bad("arm", "arm64", platform=ELSEWHERE)
        bad("config", "StopSignal", settings={"StopSignal": "SIGNOTHING"})
        bad("swapped", "digest", top={"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}})
        bad("undigested", "diff_id", top={"rootfs": {}})
        layout = Layout(os.path.join(folder, "blob"))
        entry = layout.manifest([layer(member("x", b"y"))], {})
        for name in os.listdir(f"{layout.path}/blobs/sha256"):
            if name != digest_of(entry):
                continue
            layout.write(f"blobs/sha256/{name}", b"{}")
        refused(home, layout.close(entry), "digest")
        for name, text, word in (("empty", b"{}", "no image manifest"), ("json", b"{", "JSON"), ("escape", json.dumps(
                {"manifests": [{"digest": "sha256:../../../../etc/passwd"}]}).encode(), "sha256")):
            layout = Layout(os.path.join(folder, f"index-{name}"))
            layout.write("index.json", text)
            refused(home, layout.path, word)
        other = Layout(os.path.join(folder, "other"))
        manifest = {"config": other.blob(json.dumps(HERE).encode(), "config.v1+json"),
                    "layers": [{**other.blob(b"x", "x"), "mediaType": "application/vnd.erofs.layer.v1"}]}
        refused(home, other.close(other.blob(json.dumps(manifest).encode(), "manifest.v1+json")), "erofs")
        path = os.path.join(folder, "plain.tar")
        with open(path, "wb") as file:
            file.write(layer(member("file", b"y")))
        refused(home, path, "no container image")
        need(not os.path.exists("/x") and not os.path.exists(f"{folder}/x"), "a file outside")


def digest_of(descriptor):
    return descriptor["digest"].partition(":")[2]


def test_links_of_a_layer_lead_nowhere_else():
    """A link to a folder of this machine, and a file behind it: it is one of the image."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        trap = os.path.join(folder, "trap")
        os.mkdir(trap)
        path = image(folder, [busybox(), layer(member("out", b"", type=tarfile.SYMTYPE, linkname=trap), member("out/file", b"inside")),
                              layer(member("up", b"", type=tarfile.SYMTYPE, linkname="../" * 20 + trap[1:]), member("up/file2", b" too"))])
        said = home.good("run", "-q", path, "/bin/sh", "-c", f"/bin/cat {trap}/file /out/file2")
        need(said == "inside too", said)
        need(not os.listdir(trap), "a file outside")


def test_what_podman_saves():
    if not shutil.which("podman") or os.getuid():
        raise Skip("needs podman, as root")
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "root.tar"), "wb") as file:
            file.write(busybox())
        podman = ["podman", "--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
        subprocess.run([*podman, "import", "-q", "-c", 'ENTRYPOINT ["/bin/echo"]', "-c", 'CMD ["hi"]', f"{folder}/root.tar", "local/it:1"],
                       check=True, capture_output=True)
        for form in ("docker-archive", "oci-archive", "oci-dir"):
            subprocess.run([*podman, "save", "-q", "--format", form, "-o", f"{folder}/{form}", "local/it:1"], check=True, capture_output=True)
            need(home.good("run", "-q", f"{folder}/{form}") == "hi\n", form)
            need(home.good("build", f"{folder}/{form}").startswith("it:1 "), f"{form}: its name")


def test_commands_of_container_tools_say_what_to_write_here():
    with Home() as home:
        for word, answer in (("pull", "skopeo copy"), ("load", "ingot build FILE.tar"), ("version", "ingot --version")):
            result = home.ingot(word, "alpine")
            need(result.status == 2 and answer in result.errors() and result.errors().count("\n") == 1, f"{word}\n{result.show()}")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("container " + name.removeprefix("test_").replace("_", " "), function)
