"""The commands as a user types them: build, images, run by name, inspect, rmi; reproducibility."""
import json
import os
import re
import shutil
import tempfile
import time
import zipfile

from harness import INGOT, ROOT, Skip, need, need_ingot, run

HELLO = os.path.join(ROOT, "examples", "hello")
GREETING = b"Hello from Ingot\n"


class Home:
    """A store and a place for temporary files that nobody else uses."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ingot-e2e-")
        self.path = self.folder.name
        self.tmp = os.path.join(self.path, "tmp")
        self.run_dir = os.path.join(self.path, "run")
        self.store = os.path.join(self.path, "store")
        for path in (self.tmp, self.run_dir):
            os.mkdir(path, 0o700)

    def __enter__(self):
        need_ingot()
        return self

    def __exit__(self, *_):
        end = time.monotonic() + 20
        while True:  # who was killed or told to end may still be on its way out
            try:
                return self.folder.cleanup()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def env(self, **more):
        return {"INGOT_HOME": self.store, "TMPDIR": self.tmp, "XDG_RUNTIME_DIR": self.run_dir,
                "INGOT_STATE": os.path.join(self.path, "state"), **more}

    def ingot(self, *words, timeout=60, env=None, **options):
        return run([INGOT, *words], timeout=timeout, env=self.env(**(env or {})), **options)

    def good(self, *words, **options):
        """Run a command that must succeed; its output as text."""
        result = self.ingot(*words, **options)
        need(result.status == 0, f"ingot {' '.join(words)}: status {result.status}\n{result.show()}")
        return result.text()

    def leftovers(self):
        """Files below TMPDIR."""
        return [os.path.join(folder, name) for folder, folders, names in os.walk(self.tmp)
                for name in names + folders]


def test_run_c_source():
    with Home() as home:
        result = home.ingot("run", os.path.join(HELLO, "hello.c"))
        need(result.status == 0 and result.out == GREETING, f"not the greeting\n{result.show()}")
        need(not result.err, f"something on standard error\n{result.show()}")


def test_build_images_run_inspect_rmi():
    with Home() as home:
        home.good("build", "-t", "hello:1", HELLO)
        need("hello" in home.good("images"), "images does not list it")
        listed = json.loads(home.good("images", "--format", "json"))
        need(len(listed) == 1, f"images --format json lists {listed}")
        result = home.ingot("run", "hello:1")
        need(result.status == 0 and result.out == GREETING, f"not the greeting\n{result.show()}")
        need("hello" in home.good("inspect", "hello:1"), "inspect does not show it")
        home.good("rmi", "hello:1")
        need("hello" not in home.good("images"), "still listed after rmi")
        need(home.ingot("run", "hello:1").status != 0, "it still runs after rmi")


def test_modules_of_a_script_come_along():
    """Those beside it, those in folders, and those of packages with what these need."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        for name, text in (("main.py", "import other, part.deep as deep\nimport jinja2\n"
                                       "print(other.x, deep.y, jinja2.Template('{{ z }}').render(z=3))\n"),
                           ("other.py", "x = 1\n"), ("part/__init__.py", ""), ("part/deep.py", "y = 2\n"),
                           ("main.js", "const a = require('./lib/a'); console.log(a.x, require('left')(2))\n"),
                           ("lib/a.js", "exports.x = 1\n"), ("node_modules/left/index.js", "module.exports = x => x\n"),
                           ("Ingotfile", "PROGRAM /usr/bin/python3 /app/main.py\nCOPY . /app\n")):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        for words, expected in ((("/usr/bin/python3", "main.py"), "1 2 3\n"),
                                (("-w", "/srv", "/usr/bin/python3", "./main.py"), "1 2 3\n"),
                                (("/usr/bin/python3", "-c", "import main"), "1 2 3\n"),
                                (("/usr/bin/python3", "-m", "main"), "1 2 3\n"),
                                ((".",), "1 2 3\n"),
                                (("/usr/bin/node", "main.js"), "1 2\n")):
            said = home.good("run", "-q", *words, cwd=folder)
            need(said == expected, f"{words}: {said!r}")
        need(home.good("run", "-q", "main.py", cwd=folder) == "1 2 3\n", "not by its name alone")


def test_programs_of_a_shell_script_come_along():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "s.sh")
        with open(script, "w", encoding="ascii") as file:
            file.write("#!/bin/bash\nn=$(seq 1 5 | wc -l)\nif echo $n | grep -q 5; then expr $n + 1; fi\n")
        os.chmod(script, 0o755)
        vm = ("run", "-q", "--isolation", "vm")
        need(home.good(*vm, "./s.sh", cwd=folder) == "6\n", "not by its first line")
        need(home.good(*vm, "/bin/bash", "s.sh", cwd=folder) == "6\n", "not as an argument")
        need(home.good(*vm, "/bin/sh", "-c", "echo hi | tr a-z A-Z") == "HI\n", "not as -c")
        need(home.good(*vm, "--allow-exec", "sed", "/bin/sh", "-c", "echo hi | tr a-z A-Z | sed s/H/J/") == "JI\n",
             "not beside what is allowed by name")


def test_a_program_that_fails_hears_what_it_lacked():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(os.path.realpath(folder), "here.txt")
        with open(path, "w", encoding="ascii") as file:
            file.write("here\n")
        for ground in ("process", "vm"):
            words = ("run", "--isolation", ground)
            result = home.ingot(*words, "/bin/cat", path, "/no/such/file")
            need(result.status == 1 and f"--file {path}:{path}" in result.errors(), f"no word\n{result.show()}")
            need("this machine has: /no" not in result.errors(), f"of what is not here\n{result.show()}")
            result = home.ingot(*words, "-q", "/bin/cat", path)
            need("in vain" not in result.errors(), f"said with -q\n{result.show()}")
            result = home.ingot(*words, "--file", f"{path}:{path}", "/bin/cat", path)
            need(result.status == 0 and not result.err, f"said without need\n{result.show()}")


def test_ingotfile():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "data.txt"), "w", encoding="ascii") as file:
            file.write("from the image\n")
        with open(os.path.join(folder, "Ingotfile"), "w", encoding="ascii") as file:
            file.write("# a comment\nFROM scratch\nCOPY data.txt /srv/data.txt\nCOPY /bin/cat /bin/cat\n"
                       "ENV GREETING=\"hi there\"\nWORKDIR /srv\nENTRYPOINT [\"/bin/cat\"]\nCMD [\"data.txt\"]\n")
        home.good("build", "-t", "cat:1", folder)
        need(home.good("run", "cat:1") == "from the image\n", "not the file of the image")
        text = home.good("inspect", "cat:1")
        need("hi there" in text and "/srv" in text, f"inspect lacks ENV or WORKDIR: {text[:400]}")


def store_digests(home):
    digests = set()
    for folder, _, names in os.walk(home.store):
        digests.update(name for name in names if re.fullmatch(r"[0-9a-f]{64}", name))
    return digests


def test_builds_are_reproducible():
    with Home() as one, Home() as two:
        one.good("build", "-t", "x", "/usr/bin/sqlite3")
        two.good("build", "-t", "x", "/usr/bin/sqlite3", cwd="/", env={"TZ": "Asia/Tokyo", "LANG": "C"})
        need(store_digests(one), "no content-addressed files in the store")
        need(store_digests(one) == store_digests(two), "two builds of one program differ")


def test_the_store_is_an_oci_layout():
    with Home() as home:
        home.good("build", "-t", "hello:1", HELLO)
        found = [folder for folder, _, names in os.walk(home.store) if "oci-layout" in names]
        need(len(found) == 1, "no oci-layout file")
        with open(os.path.join(found[0], "index.json"), encoding="utf-8") as file:
            index = json.load(file)
        need(index["schemaVersion"] == 2 and index["manifests"], "index.json has no manifests")


def test_trace_prints_calls():
    with Home() as home:
        result = home.ingot("run", "--trace", "/bin/echo", "traced")
        need(result.out == b"traced\n", f"not the output\n{result.show()}")
        need("write(" in result.errors() and "exit_group(" in result.errors(), f"no calls\n{result.show()}")


def test_missing_lists_paths():
    with Home() as home:
        result = home.ingot("run", "--missing", "/bin/cat", "/not/there")
        need(result.status == 1 and "/not/there" in result.errors(), f"not named\n{result.show()}")


def test_verbose_shows_the_vmm():
    with Home() as home:
        result = home.ingot("run", "--verbose", "/bin/true")
        need(result.status == 0 and "qemu-system" in result.errors(), f"no command\n{result.show()}")


def test_doctor_and_help():
    with Home() as home:
        need("QEMU" in home.good("doctor") or "qemu" in home.good("doctor"), "doctor does not speak of QEMU")
        for command in ("run", "build", "images", "inspect", "rmi", "doctor"):
            need("Usage:" in home.good(command, "--help"), f"{command} --help has no usage")
        need("ingot" in home.good("--version"), "no version")


def test_nothing_is_left_after_a_run():
    with Home() as home:
        home.good("run", "/bin/echo", "x")
        need(not home.leftovers(), f"left behind: {home.leftovers()}")


def test_working_directory_and_files():
    with Home() as home, tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("given\n")
        file.flush()
        result = home.ingot("run", "-e", "NAME=x", "-m", "64M", "--file", f"{file.name}:/data/a.txt",
                            "/bin/cat", "/data/a.txt")
        need(result.out == b"given\n", f"not the file\n{result.show()}")


def test_files_that_arguments_name():
    """Those here and below, by a relative or an absolute path; what --file says stands."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "sub"))
        for name in ("a.txt", "sub/b.txt", "c:d"):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(name + "\n")
        here, above = os.path.join(folder, "a.txt"), os.path.join(folder, "sub")
        need(home.good("run", "/bin/cat", "./a.txt", "sub/b.txt", here, cwd=folder) == "a.txt\nsub/b.txt\na.txt\n", "they are missing")
        need(home.good("run", "-w", "/srv", "/bin/cat", "a.txt", cwd=folder) == "a.txt\n", "not in the working directory")
        need(home.good("run", "--file", "sub/b.txt:/a.txt", "/bin/cat", "a.txt", cwd=folder) == "sub/b.txt\n", "--file does not stand")
        for word in ("../a.txt", here, "c:d", "."):
            result = home.ingot("run", "/bin/cat", word, cwd=above if word != "c:d" else folder)
            need(result.status == 1 and not result.out, f"{word} came along\n{result.show()}")


def test_class_paths():
    """Archives from anywhere, folders from here, all archives of a folder."""
    if not shutil.which("javac") or not shutil.which("java"):
        raise Skip("no JDK")
    with Home() as home, tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        for name, needs in (("A", '"a"'), ("B", "A.say()"), ("C", "B.say()")):
            with open(os.path.join(folder, f"{name}.java"), "w", encoding="ascii") as file:
                file.write(f"class {name} {{ static String say() {{ return {needs} + {name!r}; }}"
                           .replace("'", '"') + " public static void main(String[] args) { System.out.println(say()); } }\n")
        run(["javac", "-d", folder, *(os.path.join(folder, f"{name}.java") for name in "ABC")])
        for name, place in (("A", os.path.join(folder, "lib")), ("B", other), ("C", os.path.join(folder, "classes"))):
            os.makedirs(place, exist_ok=True)
            if name == "C":
                shutil.move(os.path.join(folder, "C.class"), place)
                continue
            with zipfile.ZipFile(os.path.join(place, f"{name}.jar"), "w") as jar:
                jar.write(os.path.join(folder, f"{name}.class"), f"{name}.class")
            os.remove(os.path.join(folder, f"{name}.class"))
        path = f"classes:{other}/B.jar:lib/*"
        need(home.good("run", "-m", "512M", "/usr/bin/java", "-Xshare:auto", "-cp", path, "C", cwd=folder) == "aABC\n", "not all came")


def test_without_a_home_and_help_for_a_command():
    with Home() as home:
        env = {"HOME": "", "INGOT_HOME": "", "XDG_DATA_HOME": ""}
        user = home.ingot("images", env={**env, "XDG_DATA_HOME": home.path})
        need(user.status == 0, f"no word on where\n{user.show()}")
        if os.getuid() == 0:
            result = run(["setpriv", "--reuid=nobody", "--clear-groups", INGOT, "run", "/bin/true"], env=home.env(**env))
            need(result.status == 125 and "/root" not in result.errors(), f"another's home\n{result.show()}")
        need(home.good("help", "run") == home.good("run", "--help"), "not the help of the command")
        need(home.ingot("help", "nosuch").status == 2, "help for what there is not")


def test_many_and_long_arguments():
    with Home() as home:
        script = "echo $# ${#1} ${!#}"
        words = ["x" * 100000, *map(str, range(40000))]
        need(home.good("run", "/bin/bash", "-c", script, "sh", *words) == "40001 100000 39999\n", "some are lost")


def test_memory_beyond_the_hole_is_counted_once():
    with Home() as home:
        lines = home.good("run", "--isolation", "vm", "-m", "5G", "/bin/cat", "/proc/meminfo")
        total, free = (int(line.split()[1]) for line in lines.splitlines()[:2])
        need(5 << 20 >= total > free > 5 << 19, f"not 5 GiB\n{lines}")


def test_compressed_images():
    """Smaller, and the same: in memory and on a disk, on both grounds; the command line's word beats the Ingotfile's."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "Ingotfile"), "w", encoding="utf-8") as file:
            file.write("FROM scratch\nCOMPRESS lz4\nPROGRAM /usr/bin/perl\n")
        script = "open F, '<:raw', $^X; local $/; print unpack('%32C*', <F>), qq{\\n}"
        sizes, sums = {}, set()
        for name, words in (("small", ()), ("plain", ("--compress", "none"))):
            home.good("build", "-t", name, *words, folder)
            for isolation in ("vm", "process"):
                sums.add(home.good("run", "-q", "--isolation", isolation, name, "-e", script))
            sizes[name] = json.loads(home.good("inspect", name))[0]["Size"]
        need(len(sums) == 1, f"not the same bytes: {sums}")
        need(sizes["small"] * 4 < sizes["plain"] * 3, f"not smaller: {sizes}")
        result = home.ingot("build", "--compress", "zip", folder)
        need(result.status == 2 and "'zip'" in result.errors(), f"no clear word\n{result.show()}")


def test_every_option_is_in_its_manual_page():
    """What --help of a command lists, by its long and its short name; and a page has no others."""
    folder = os.path.join(ROOT, "docs", "man")

    def page(name):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return re.sub(r"\\f[A-Z]", "", file.read().replace("\\-", "-"))
    instances = page("ingot-instances.7")
    with Home() as home:
        commands = re.findall(r"^  ([a-z]+)  ", home.good("--help"), re.M)
        need(len(commands) > 30, f"commands: {commands}")
        for command in commands:
            text = home.good(command, "--help")
            need(not text.endswith("\n\n"), f"{command} --help ends with an empty line")
            own = page(f"ingot-{command}.1")
            pages = own + instances if command == "run" or not own else own
            options = re.findall(r"^\s+(?:-(\w), |    )--([a-z-]+)", text, re.M)
            need(options, f"{command}: no options\n{text}")
            for short, name in options:
                need(name == "help" or re.search(rf"--{name}\b", pages), f"{command} --{name}: in no page")
                need(name == "help" or not short or re.search(rf"-{short}\b", pages), f"{command} -{short}: in no page")
            if own:
                there = set(re.findall(r"^\.(?:B|BR|BI)[^\n]*?--([a-z-]+)", own[own.find(".SH OPTIONS"):], re.M)) if ".SH OPTIONS" in own else set()
                strange = there - {name for _, name in options}
                need(not strange or command in ("build", "run", "volume"), f"{command}: its page tells of {strange}")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add("command: " + name[5:].replace("_", " "), function)
