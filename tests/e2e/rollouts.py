"""Roll-outs: the Terraform module and the Jenkinsfile of examples/rollout, as their users run them."""
import os
import shutil
import urllib.request

from harness import INGOT, ROOT, Skip, need, run
from instances import Lab
from tools import free_port

PAGE = "site/index.html"


def java_home():
    return os.path.dirname(os.path.dirname(os.path.realpath(shutil.which("java") or "/usr/bin/java")))


class Project(Lab):
    """A copy of the example, with the module where the example looks for it."""

    def __init__(self):
        super().__init__()
        self.port = free_port()
        self.project = os.path.join(self.path, "examples", "rollout")
        shutil.copytree(os.path.join(ROOT, "examples", "rollout"), self.project)
        shutil.copytree(os.path.join(ROOT, "deploy"), os.path.join(self.path, "deploy"))

    def env(self, **more):
        path = os.path.dirname(INGOT) + os.pathsep + os.environ["PATH"]
        return super().env(PATH=path, INGOT_ISOLATION="process", TF_VAR_port=str(self.port), TF_IN_AUTOMATION="1",
                           TF_CLI_CONFIG_FILE="/dev/null", JAVA_HOME=java_home(), **more)

    def edit(self, name, change):
        path = os.path.join(self.project, name)
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(change(text))

    def terraform(self, *words, statuses=(0,)):
        result = run(["terraform", *words], env=self.env(), cwd=self.project, timeout=120)
        need(result.status in statuses, f"terraform {words[0]}: status {result.status}\n{result.show()}")
        return result

    def apply(self, *words, **options):
        return self.terraform("apply", "-auto-approve", "-input=false", "-no-color", *words, **options)

    def serves(self, text):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=30) as answer:
            page = answer.read().decode()
        need(text in page, f"not '{text}' but {page!r}")


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def terraform_module():
    needs("terraform", "nginx")
    with Project() as project:
        project.terraform("init", "-input=false")
        project.apply()
        project.serves("revision 1")
        project.terraform("plan", "-detailed-exitcode", "-input=false")  # 2 if anything were to change

        project.edit(PAGE, lambda text: text.replace("revision 1", "revision 2"))
        project.apply()
        project.serves("revision 2")
        need(project.good("ps", "-a", "-q").split() == ["site"], "more than one instance")

        project.edit("Ingotfile", lambda text: text + "NONSENSE\n")
        failed = project.apply(statuses=(1,))
        need("unknown keyword" in failed.errors(), f"the build's error is not told\n{failed.show()}")
        project.serves("revision 2")
        project.edit("Ingotfile", lambda text: text.replace("NONSENSE\n", ""))

        project.edit("main.tf", lambda text: text.replace("  ready  =", "  ready_timeout = \"15s\"\n  ready  ="))
        project.edit("nginx.conf", lambda text: text.replace("listen 8080", "listen 8080x"))
        failed = project.apply(statuses=(1,))
        need("what ran before runs again" in " ".join(failed.errors().split()), f"no roll back\n{failed.show()}")
        project.is_now("site", "running")
        project.good("wait", "--condition", "healthy", "--timeout", "60s", "site")
        project.serves("revision 2")
        project.edit("nginx.conf", lambda text: text.replace("8080x", "8080"))

        project.apply()
        project.serves("revision 2")
        project.terraform("destroy", "-auto-approve", "-input=false")
        need(project.good("ps", "-a", "-q") == "", "destroy left an instance")


def terraform_leaves_others():
    needs("terraform", "nginx")
    with Project() as project:
        project.start("site")
        project.terraform("init", "-input=false")
        failed = project.apply(statuses=(1,))
        need("name 'site' is in use" in " ".join(failed.errors().split()), f"not told\n{failed.show()}")
        project.is_now("site", "running")


def jenkinsfile():
    needs("terraform", "nginx", "groovy", "curl", "qemu-img")
    script = os.path.join(ROOT, "tests", "e2e", "jenkins.groovy")
    with Project() as project:
        def build(commit, branch):
            env = project.env(GIT_COMMIT=commit * 40, BRANCH_NAME=branch)
            return run(["groovy", script, "Jenkinsfile"], env=env, cwd=project.project, timeout=180)

        result = build("a", "main")
        need(result.status == 0 and "archived: site.qcow2" in result.text(), f"it failed\n{result.show()}")
        project.serves("revision 1")
        project.edit(PAGE, lambda text: text.replace("revision 1", "revision 2"))
        result = build("b", "topic")
        need(result.status == 0, f"a branch fails\n{result.show()}")
        project.serves("revision 1")
        project.edit("check.sh", lambda text: text.replace("cmp -", "cmp /dev/null"))
        result = build("c", "main")
        need(result.status != 0, "a failing test rolled out")
        project.serves("revision 1")
        project.terraform("destroy", "-auto-approve", "-input=false")


def add_to(suite):
    for test in (terraform_module, terraform_leaves_others, jenkinsfile):
        suite.add("rollout: " + test.__name__.replace("_", " "), test)
