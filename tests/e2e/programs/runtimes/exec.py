# What execve says to odd files, scripts, arguments and descriptors.
import errno
import os
import shutil
import sys


def attempt(title, path, *args, env=None, before=lambda: None):
    """The error of an execve, or what the program says and its status."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.dup2(writer, 1)
        try:
            before()
            os.execve(path, ["name", *args], env if env is not None else {"A": "1"})
        except OSError as error:
            os.write(1, errno.errorcode[error.errno].encode())
        os._exit(99)
    os.close(writer)
    said = b""
    while part := os.read(reader, 65536):
        said += part
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = said.replace(os.getcwd().encode(), b"HERE")
    print(f"{title}: {said[:200].decode()!r} {len(said)} {status}")


def write(name, text, mode=0o755):
    with open(name, "wb") as file:
        file.write(text)
    os.chmod(name, mode)
    return "./" + name


def copy(program, name):
    shutil.copy(program, name)
    return "./" + name


def files():
    attempt("missing", "./missing")
    attempt("empty path", "")
    attempt("a directory", "/tmp")
    attempt("below a file", "/etc/passwd/x")
    attempt("a long name", "./" + "x" * 300)
    attempt("a long path", "./" * 3000 + "x")
    os.symlink("loop", "loop")
    attempt("a loop", "./loop")
    attempt("no x bit", write("plain", b"#!/bin/echo\n", 0o644))
    attempt("empty", write("empty", b""))
    attempt("text", write("text", b"echo hello\n"))
    attempt("zeros", write("zeros", bytes(5000)))
    with open("/bin/true", "rb") as file:
        program = file.read()
    for size in (4, 16, 63, 64, 100):
        attempt(f"{size} bytes of ELF", write(f"elf{size}", program[:size]))
    attempt("another machine", write("arm", program[:18] + b"\xb7\0" + program[20:]))
    attempt("a copy", copy("/bin/echo", "echo"), "works")
    os.symlink("echo", "link")
    attempt("by a link", "./link", "works")


def scripts():
    attempt("a script", write("s1", b"#!/bin/echo\n"), "x y", "")
    attempt("with an argument", write("s2", b"#! /bin/echo  a  b \t \nrest"), "x")
    attempt("without a newline", write("s3", b"#!/bin/echo"), "x")
    attempt("no interpreter", write("s4", b"#!\n"))
    attempt("spaces only", write("s5", b"#!   \n"))
    attempt("a missing one", write("s6", b"#!/missing\n"))
    attempt("a directory for one", write("s7", b"#!/tmp\n"))
    attempt("a long line", write("s8", b"#!/bin/echo " + b"x" * 400 + b"\n"))
    attempt("a long interpreter", write("s9", b"#!/" + b"x" * 400 + b"\n"))
    where = os.getcwd().encode()
    inner = b"/bin/echo"
    for depth in range(1, 8):
        name = f"deep{depth}"
        write(name, b"#!" + inner + b"\n")
        inner = where + b"/" + name.encode()
        attempt(f"{depth} deep", "./" + name, before=lambda: os.close(os.dup(0)))
    attempt("carriage return", write("crlf", b"#!/bin/echo\r\n"))


def descriptors():
    fd = os.open("/bin/echo", os.O_RDONLY)
    attempt("a descriptor", fd, "works")
    os.close(fd)
    fd = os.open("s1", os.O_RDONLY)
    attempt("a script's that closes", fd)
    os.set_inheritable(fd, True)
    os.dup2(fd, 77)
    attempt("a script's that stays", 77, "x")
    attempt("by its path", "/proc/self/fd/77", "x")
    attempt("itself", "/proc/self/exe", "-c", "import sys; print(sys.argv[1:])", "x")


def sizes():
    attempt("an argument of 128 KiB", "/bin/echo", "x" * (128 * 1024 - 2))
    attempt("one too long", "/bin/echo", "x" * (128 * 1024))
    attempt("an environment too long", "/bin/true", env={"A": "x" * (128 * 1024)})
    attempt("a million bytes", "/bin/echo", *["x" * 1000] * 1000)
    attempt("four million", "/bin/true", *["x" * 1000] * 4000)
    attempt("many", "/bin/true", *["x"] * 60000)
    attempt("none", "/bin/true", env={})


os.mkdir(sys.argv[1])
os.chdir(sys.argv[1])
files()
scripts()
descriptors()
sizes()
