# A guest in a process under gdb, kernel and program in one debugger:
#     gdb -x tools/ingot.gdb --args build/ingot run --isolation process IMAGE
# (or a target that has been run before: what builds an image are child processes too, and the debugger
# follows the first one)
#     (gdb) run                       it stops once the kernel is mapped, with its symbols
#     (gdb) break sys_write
#     (gdb) continue
# gdb starts programs without randomised addresses, and the tender then puts the kernel at the start of
# its zone, 0x700000000000 (linked for 0x100000).  For the program's own symbols, once it is mapped:
#     (gdb) add-symbol-file PROGRAM -o ADDRESS       (PIE; others: without -o)
set confirm off
set breakpoint pending on
set follow-fork-mode child
tbreak tender_install_filter
set detach-on-fork on
# System calls, page faults, timers: all in a day's work.
handle SIGSYS SIGSEGV SIGALRM SIGPROF nostop noprint pass
# The kernel's symbols, once there is a tender to put it where they say.
python
import gdb
class Guest(gdb.Command):
    def __init__(self):
        super().__init__("guest-symbols", gdb.COMMAND_FILES)
    def invoke(self, path, from_tty):
        gdb.execute(f"add-symbol-file {path or 'build/ingot-kernel'} -o 0x6ffffff00000")
Guest()
def tender_started(event):
    if event.new_objfile.filename.endswith("/ingot-tender"):
        import os
        gdb.execute("guest-symbols " + os.path.join(os.path.dirname(event.new_objfile.filename), "ingot-kernel"))
gdb.events.new_objfile.connect(tender_started)
end
