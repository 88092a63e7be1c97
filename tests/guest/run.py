#!/usr/bin/env python3
"""Guest tests: every program first on Linux, our oracle, then as a unikernel: in a sandboxed process and
in a VM.

    tests/guest/run.sh [--long] [--native|--process|--process-alone|--process-smp2|--process-smp4|--process-unpatched|--guest|--guest-smp2|
                        --guest-smp4|--guest-unpatched] [NAME...]

A case that fails natively is a fault of the test.  Programs run in the guest with 64 MiB, one VM a
program, two at a time."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BUILD, INGOT, Failure, Suite, arguments, need_ingot, run  # noqa: E402

import programs  # noqa: E402

OUT = os.path.join(BUILD, "tests", "guest")
CASE = re.compile(r"^(ok|not ok) (\S+)")


def judge(suite, where, program, result):
    """Report a line a case, and one more when the program ended in another way than it should."""
    name = f"{where} {program.name}"
    detail, cases, failed = [], 0, 0
    for line in result.text().splitlines():
        match = CASE.match(line)
        if not match:
            detail.append("    " + line)
            continue
        cases += 1
        if match.group(1) == "ok":
            suite.report("PASS", f"{name}: {match.group(2)}")
        else:
            failed += 1
            suite.report("FAIL", f"{name}: {match.group(2)}", "\n" + "\n".join(detail))
        detail = []
    if failed and result.status == min(failed, 100):
        return True
    if result.status != program.status:
        last = f" after case {cases}" if cases else ""
        raise Failure(f"{name}: status {result.status}, want {program.status}{last}\n{result.show()}")
    planned = re.search(r"^1\.\.(\d+)$", result.text(), re.M)
    if cases and (not planned or int(planned.group(1)) != cases):
        raise Failure(f"{name}: {cases} cases, not the planned number\n{result.show()}")
    return cases > 0


def run_native(suite, program):
    return judge(suite, "linux", program, run([program.path, *program.args], timeout=60))


def lower_layer(program):
    """A folder for the image, which the program itself fills."""
    folder = os.path.join(OUT, "lower")
    if run([program.path, "make_the_lower_layer"], timeout=60, env={"LOWER": folder}).status:
        raise Failure("overlay: its lower layer cannot be made")
    return folder


def run_isolated(suite, program, where, isolation, timeout, *options):
    need_ingot()
    if program.name == "overlay":
        options = (*options, "--file", lower_layer(program) + ":/lower")
    if program.name in ("exec", "races_fork"):
        options = (*options, "--allow-exec", "@any")
    memory = "192M" if program.name in ("smp", "mm", "races_mem") else "64M"  # enough for pages of 2 MiB
    command = [INGOT, "run", "--isolation", isolation, "-m", memory, "-e", "LEAKS=1", *options, program.path,
               *program.args]
    return judge(suite, where, program, run(command, timeout=timeout))


def run_process(suite, program):
    return run_isolated(suite, program, "process", "process", 60)


def run_process_alone(suite, program):
    return run_isolated(suite, program, "process alone", "process", 60, "--net", "none")


def run_process_smp2(suite, program):
    return run_isolated(suite, program, "process, 2 CPUs", "process", 60, "--cpus", "2")


def run_process_smp4(suite, program):
    return run_isolated(suite, program, "process, 4 CPUs", "process", 60, "--cpus", "4")


def run_guest(suite, program):
    return run_isolated(suite, program, "ingot", "vm", 150)


def run_process_unpatched(suite, program):
    return run_isolated(suite, program, "process unpatched", "process", 60, "--no-patch")


def run_guest_unpatched(suite, program):
    return run_isolated(suite, program, "ingot unpatched", "vm", 150, "--no-patch")


def run_guest_smp2(suite, program):
    return run_isolated(suite, program, "ingot, 2 CPUs", "vm", 150, "--cpus", "2")


def run_guest_smp4(suite, program):
    return run_isolated(suite, program, "ingot, 4 CPUs", "vm", 150, "--cpus", "4")


GROUNDS = {"--native": run_native, "--process": run_process, "--process-alone": run_process_alone, "--process-smp2": run_process_smp2, "--process-smp4": run_process_smp4,
           "--process-unpatched": run_process_unpatched,
           "--guest": run_guest, "--guest-smp2": run_guest_smp2, "--guest-smp4": run_guest_smp4,
           "--guest-unpatched": run_guest_unpatched}

# What several CPUs can harm most; the other families run on them with --long.
SMP_FAMILIES = {"smp", "races", "races_fork", "races_mem", "races_fs", "races_net", "bad", "thread", "rseq", "sched", "signal", "mm", "event", "pipe", "fork", "exec", "ipc_sem", "ipc_msg", "ipc_mq", "aio"}

# A guest without any device has memory of another kind: those that use most of it, and map it twice.
ALONE_FAMILIES = {"mm", "bad", "file", "thread", "exec", "ipc", "leak", "signal"}


def run_storm(suite, program, seed):
    """Many more random calls than usual, in the guest only."""
    need_ingot()
    command = [INGOT, "run", "-m", "64M", "-e", "STORM=100000", "-e", f"SEED={seed}", "--cpus", "1" if seed % 2 else "4",
               program.path, "a_storm_of_random_calls", "a_storm_of_random_calls_by_many_threads"]
    return judge(suite, f"ingot, seed {seed}:", program, run(command, timeout=600))


def main():
    long, words = arguments()
    grounds = [w for w in GROUNDS if w in words] or [w for w in GROUNDS if long or w != "--guest-unpatched"]
    words = [w for w in words if not w.startswith("--")]
    built = [*programs.build_families(OUT), *programs.build_crashes(OUT), *programs.build_variants(OUT)]
    status = 0
    for ground, runner in GROUNDS.items():
        if ground not in grounds:
            continue
        suite = Suite("guest")
        escapes = programs.build_escapes(OUT) if ground in ("--process", "--process-alone", "--process-smp2") else []
        for program in [*built, *escapes]:
            if "process" in ground and program.name in programs.VM_ONLY:
                continue
            if "smp" in ground and not (long or words or program in escapes) and program.name not in SMP_FAMILIES:
                continue
            if "alone" in ground and not (long or words or program in escapes) and program.name not in ALONE_FAMILIES:
                continue
            if not words or program.name in words:
                suite.add(f"{ground[2:]} {program.name}", runner, suite, program)
        for seed in range(1, 13) if long and ground == "--guest" else ():
            suite.add(f"storm {seed}", run_storm, suite, next(p for p in built if p.name == "bad"), seed)
        status |= suite.run()
    return status


if __name__ == "__main__":
    sys.exit(main())
