"""What a user may name: programs by their names in PATH, project folders."""
import os
import shutil
import subprocess
import tempfile
import time

from commands import Home
from harness import INGOT, need
from netlab import ask, background, find, namespace, need_programs, until


def write(folder, files, mode=0o644):
    """Make files, {path: text}, below a folder; "-> TARGET" is a link."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text.startswith("-> "):
            os.symlink(text.removeprefix("-> "), path)
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)


def test_programs_by_name():
    """The store goes before PATH, and PATH before the current folder."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {"a.txt": "here\n"})
        write(folder, {"echo": "#!/bin/cat\nhere\n", "only": "#!/bin/cat\n"}, 0o755)
        need(home.good("run", "cat", "a.txt", cwd=folder) == "here\n", "no file comes along")
        result = home.ingot("run", "echo", "hi", cwd=folder)
        need(result.text() == "hi\n" and "write ./echo" in result.errors(), f"not PATH's\n{result.show()}")
        need("here" in home.good("run", "./echo", cwd=folder), "not this folder's")
        need(home.good("run", "only", cwd=folder) == "#!/bin/cat\n", "not this folder's, where PATH has none")
        write(folder, {"there/script": "#!/bin/sh\nf () {\n  echo \"$(basename \"$1\")\"\n}\nf /a/of-a-link\n"}, 0o755)
        os.symlink("there/script", os.path.join(folder, "link"))
        need(home.good("run", "./link", cwd=folder) == "of-a-link\n", "not what a script names that a link leads to")
        result = home.ingot("run", "no-such-program", cwd=folder)
        need(result.status == 125 and "no program in PATH" in result.errors(), f"no clear word\n{result.show()}")
        home.good("build", "-q", "cat")
        need("cat" in home.good("images"), "built by another name")
        home.good("build", "-q", "-t", "echo", "./only", cwd=folder)
        need(home.good("run", "echo", cwd=folder) == "#!/bin/cat\n", "not the image")
        write(folder, {"Ingotfile": "PROGRAM basename /a/b\n"})
        need(home.good("run", "-q", ".", cwd=folder) == "b\n", "not in an Ingotfile")


def test_versions_behind_shims():
    """pyenv and its kin: the script of a shims folder stands for the program that `which` tells."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {".toolenv/shims/speak": "#!/bin/false\n",
                       ".toolenv/bin/toolenv": "#!/bin/sh\n[ $1 = which ] && [ $2 = speak ] && echo /bin/echo\n"},
              0o755)
        env = {"PATH": f"{folder}/.toolenv/shims:{os.environ['PATH']}"}
        need(home.good("run", "speak", "hi", env=env) == "hi\n", "not the program behind")


def test_what_packages_have_made_at_boot():
    """tmpfiles.d: tinyproxy, whose configuration is another package's, finds its folder below /run, and it is its own."""
    need_programs("/usr/bin/tinyproxy")
    script = "import os; os.setgid(33); os.setuid(33); open('/run/x/y/file', 'w').close()"
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        for ground in ("vm", "process"):
            with namespace(), background(INGOT, "run", "--isolation", ground, "-p", "18888:8888", "tinyproxy", "-d", env=home.env()):
                until(lambda: ask("127.0.0.1", 18888, b"GET http://tinyproxy.stats/ HTTP/1.0\r\n\r\n", b"HTTP/1."))
        if os.getuid():
            return
        os.makedirs(f"{folder}/x/y")
        os.chown(f"{folder}/x/y", 33, 33)
        for words in ((), ("--isolation", "process")):
            home.good("run", "-q", *words, "--file", f"{folder}/x:/run/x", "/usr/bin/python3", "-c", script)
        result = home.ingot("run", "-q", "/usr/bin/python3", "-c", script.replace("/run/x/y", "/run"))
        need("Permission denied" in result.errors(), f"anybody writes to /run\n{result.show()}")


TRIED = {  # programs with files that no header names, as a user tries them first
    "dot": (("-Tsvg", "a.dot"), "</svg>"),
    "tcc": (("-run", "a.c"), "compiled"),
    "gcc": (("-v", "-o", "/tmp/a", "a.c"), ""),
    "fish": (("a.fish",), "3"),
    "zsh": (("a.zsh",), "dated"),
    "make": (("-f", "a.mk"), "made x"),
    "lighttpd": (("-tt", "-f", "/etc/lighttpd/lighttpd.conf"), ""),
}


def test_programs_bring_what_no_header_names():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {"a.dot": "digraph { a -> b }", "a.c": '#include <stdio.h>\nint main(void) { puts("compiled"); }\n',
                       "a.fish": "for i in (seq 3); echo $i; end | tail -1\n", "a.mk": "all: ; @echo made $(shell echo x)\n",
                       "a.zsh": "a=(3 1); print -l ${(n)a} | head -1; [[ -n $(date) ]] && echo dated\n"})
        for program, (words, wanted) in TRIED.items():
            if not find(program):
                continue
            result = home.ingot("run", program, *words, cwd=folder, timeout=120, env={"INGOT_ISOLATION": "auto"})
            need(result.status == 0 and wanted in result.text(), f"{program}: status {result.status}\n{result.show()}")


PROJECTS = {  # files of a folder, and what it prints; a program that it needs
    "node": ({"package.json": '{"scripts": {"start": "node srv.js a b"}, "dependencies": {"left": "1"}}',
              "srv.js": "console.log(require('left'), process.argv.slice(2).join())", "node_modules/left/index.js": "module.exports = 7"},
             "7 a,b\n", "node"),
    "node's tool": ({"package.json": '{"scripts": {"start": "MODE=on OTHER=x serve -p 1"}, "dependencies": {"serve": "1"}}',
                     "node_modules/serve/bin/main.js": "#!/usr/bin/env node\nconsole.log(process.env.MODE, ...process.argv.slice(2), require('other'))",
                     "node_modules/other/index.js": "module.exports = 'other'", "node_modules/.bin/serve": "-> ../serve/bin/main.js"},
                    "on -p 1 other\n", "node"),
    "python": ({"requirements.txt": "Jinja2>=3  # installed\n", "main.py": "import jinja2, os\nprint(jinja2.__name__, os.getcwd(), open('d').read())",
                "d": "data"}, "jinja2 /app data\n", "python3"),
    "venv": ({"requirements.txt": "own\n", "app.py": "import own", ".venv/lib/python3.9/site-packages/own.py": "print('own')"}, "own\n", "python3"),
    "pyproject": ({"pyproject.toml": '[project]\nname = "x"\n[project.scripts]\nx = "x.cli:main"\n', "src/x/__init__.py": "",
                   "src/x/cli.py": "def main():\n    print('cli')\n    return 0"}, "cli\n", "python3"),
    "ruby": ({"app.rb": "puts 'ruby'"}, "ruby\n", "ruby"),
    "go": ({"go.mod": "module ex\ngo 1.19\n", "main.go": 'package main\nimport "fmt"\nfunc main() { fmt.Println("go") }\n'}, "go\n", "go"),
    "cargo": ({"Cargo.toml": '[package]\nname = "r"\nversion = "0.1.0"\nedition = "2021"\n', "src/main.rs": 'fn main() { println!("rust"); }\n',
               "target/old": ""}, "rust\n", "cargo"),
}


def test_project_folders():
    with Home() as home, tempfile.TemporaryDirectory() as top:
        for name, (files, wanted, program) in PROJECTS.items():
            if not find(program):
                continue
            folder = os.path.join(top, name)
            write(folder, files)
            path = os.environ["PATH"] if name == "cargo" else f"/usr/bin:/bin:{os.environ['PATH']}"  # one rustc, with its cargo
            said = home.good("run", "-q", folder, timeout=180, env={"PATH": path})
            need(said == wanted, f"{name}: {said!r}")
        need(not os.path.exists(f"{top}/cargo/Cargo.lock"), "built in the folder itself")


def test_project_folders_that_lack_something():
    lacking = (({"package.json": '{"dependencies": {"left": "1"}}', "index.js": ""}, "npm install"),
               ({"package.json": '{"scripts": {"start": "tsc && node x.js"}}'}, "tsc && node x.js"),
               ({"package.json": '{"scripts": {"start": "tsc x"}}', "node_modules/.bin/tsc": "-> /bin/sh"}, "tsc x"),
               ({"package.json": "{"}, "package.json"),
               ({"requirements.txt": "no-such-thing-2==1\n", "main.py": ""}, "no-such-thing-2"),
               ({"requirements.txt": ""}, "main.py"),
               ({"oci-layout": "{}"}, "no container image"),
               ({"notes.txt": ""}, "nothing to build"))
    with Home() as home:
        for files, word in lacking:
            with tempfile.TemporaryDirectory() as folder:
                write(folder, files)
                for command, status in (("run", 125), ("build", 1)):
                    result = home.ingot(command, folder)
                    need(result.status == status and word in result.errors() and result.errors().count("\n") == 1,
                         f"{word}\n{result.show()}")


def test_scripts_without_a_first_line():
    """They run by what their names tell, with the modules beside them."""
    scripts = {"a.py": "import b, sys\nprint(b.NAME, *sys.argv[1:])\n", "a.pl": 'print "perl @ARGV\n";\n', "a.sh": 'echo sh "$@"\n'}
    need_programs("python3", "perl")
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {**scripts, "b.py": "NAME = 'python'\n", "a.txt": "text\n"})
        said = [home.good("run", "-q", word, "one", cwd=folder) for word in ("a.py", "./a.pl", f"{folder}/a.sh")]
        need(said == ["python one\n", "perl one\n", "sh one\n"], f"{said}")
        home.good("build", "-q", "-t", "app:1", "a.py", cwd=folder)
        need(home.good("run", "-q", "app:1", "two") == "python two\n", "not as an image")
        result = home.ingot("run", "a.txt", cwd=folder)
        need(result.status == 125 and "neither a program nor a script" in result.errors(), result.show())


def test_libraries_of_files_of_a_run():
    """What a native module links to comes along with it, into nobody's stored image."""
    need_programs("gcc")
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {"load.c": "#include <dlfcn.h>\n#include <stdio.h>\nint main(int n, char **words)\n{ puts(dlopen(words[1], RTLD_NOW) ? \"loaded\" : dlerror()); return n != 2; }\n",
                       "native.c": "#include <resolv.h>\nint native(char *name) { return dn_skipname((void *)name, (void *)name); }\n"})
        for words in (("-o", "load", "load.c"), ("-shared", "-fPIC", "-o", "native.node", "native.c", "-Wl,--no-as-needed", "-lresolv")):
            subprocess.run(["gcc", *words], cwd=folder, check=True)
        need(home.good("run", "-q", "./load", "./native.node", cwd=folder) == "loaded\n", "its library did not come along")
        home.good("build", "-q", "-t", "load:1", "./load", cwd=folder)
        said = home.good("run", "-q", "--file", "native.node:/native.node", "load:1", "/native.node", cwd=folder)
        need("libresolv.so.2" in said, f"a stored image got a library: {said}")


def test_many_files_of_a_run_are_packed_once():
    """Until one of them changes, or one is new; those of before are not kept beside them."""
    need_programs("python3")
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        def layers():
            return {name: os.stat(f"{home.store}/blobs/sha256/{name}").st_ino for name in os.listdir(f"{home.store}/blobs/sha256")}

        def run_it():
            return home.good("run", "-q", "python3", "app.py", cwd=folder, env={"INGOT_ISOLATION": "process"})
        write(folder, {"app.py": "import many.m7, os\nprint(many.m7.NAME, len([n for n in os.listdir('many') if n.endswith('.py')]))\n",
                       "many/__init__.py": "", **{f"many/m{i}.py": f"NAME = 'm{i}'\n" for i in range(600)}})
        os.utime(folder)
        time.sleep(2.1)  # what changed just before is not trusted
        need(run_it() == "m7 601\n", "not its files")
        first = layers()
        need(run_it() == "m7 601\n" and layers() == first, "packed again")
        write(folder, {"many/m7.py": "NAME = 'other'\n", "many/more.py": ""})
        time.sleep(2.1)
        need(run_it() == "other 602\n", "not as they are now")
        need(len(home.good("images", "-aq").split()) == 2, "what was packed before is kept, or what is packed now is not")


def test_files_of_a_container_image():
    """As docs/guide/images.md has it: its files below a folder, and what starts them in an Ingotfile; an archive of files alone is refused by name."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/rootfs/bin")
        shutil.copy("/bin/busybox", f"{folder}/rootfs/bin/busybox")
        for name in ("sh", "cat", "echo"):
            os.symlink("busybox", f"{folder}/rootfs/bin/{name}")
        write(folder, {"rootfs/etc/motd": "of the image\n",
                       "Ingotfile": 'FROM scratch\nCOPY rootfs /\nENV WORD=word\nWORKDIR /etc\n'
                                    'ENTRYPOINT ["/bin/sh", "-c", "echo $WORD | cat - motd"]\nEXEC @image\n'})
        need(home.good("run", "-q", folder) == "word\nof the image\n", "not its files and settings")
        subprocess.run(["tar", "-cf", f"{folder}/image.tar", "-C", folder, "rootfs"], check=True)
        result = home.ingot("run", f"{folder}/image.tar")
        need(result.status == 125 and "no container image" in result.errors(), f"no clear word\n{result.show()}")


def test_what_a_script_starts_is_what_the_guest_finds():
    """Not what stands before it in the user's PATH alone, as the scripts of version managers do."""
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {"mine/seq": "#!/usr/bin/env bash\necho mine\n", "mine/seq9": "#!/usr/bin/env bash\n",
                       "count.sh": "#!/bin/sh\nif false; then\n    exec seq9 2\nfi\nexec seq 2\n"})
        for name in ("mine/seq", "mine/seq9", "count.sh"):
            os.chmod(f"{folder}/{name}", 0o755)
        env = {"PATH": f"{folder}/mine:{os.environ['PATH']}"}
        need(home.good("run", "-q", "--isolation", "vm", f"{folder}/count.sh", env=env) == "1\n2\n", "not the guest's")


def test_a_folder_of_pages_is_served():
    with Home() as home, tempfile.TemporaryDirectory() as folder:
        write(folder, {"index.html": "<h1>mine</h1>"})
        with namespace(), background(INGOT, "run", "-p", "8000:8000", folder, env=home.env()):
            until(lambda: ask("127.0.0.1", 8000, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK"))


def test_a_server_that_leaves_for_the_background_is_told_of():
    fork = "import os, time\nif not os.fork():\n    {}\n    print(os.getppid(), flush=True)\n    time.sleep(60)\ntime.sleep(1)"
    with Home() as home:
        helper = "os.setsid(); os.execv('/proc/self/exe', ['python3', '-c', 'import time; print(1, flush=True); time.sleep(60)'])"
        for call, told in (("os.setsid()", True), ("pass", False), (helper, False)):
            result = home.ingot("run", "/usr/bin/python3", "-c", fork.format(call))
            need(result.status == 0 and ("stay in the foreground" in result.errors()) == told, f"{call}\n{result.show()}")


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add(name.removeprefix("test_").replace("_", " "), function)
