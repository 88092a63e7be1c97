"""What a user may name: programs by their names in PATH, project folders."""
import os
import tempfile

from commands import Home
from harness import need


def write(folder, files, mode=0o644):
    """Make files, {path: text}, below a folder."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
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
        result = home.ingot("run", "no-such-program", cwd=folder)
        need(result.status == 1 and "no program in PATH" in result.errors(), f"no clear word\n{result.show()}")
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


def add_to(suite):
    for name, function in sorted(globals().items()):
        if name.startswith("test_"):
            suite.add(name.removeprefix("test_").replace("_", " "), function)
