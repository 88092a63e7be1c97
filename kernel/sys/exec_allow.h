/* Which programs execve(2) may start: docs/decisions/0015-which-programs-may-be-started.md. */
#pragma once

#include "lib/types.h"

struct file;
struct program;
struct thread;

/**
 * What the image's label org.ingot.exec and the command line's ingot.exec= allow, either NULL:
 * words between blanks or colons, each a path, a directory with a slash at its end, "@image" (every
 * program as a layer has it) or "@any".  At start.
 */
void exec_allow_init(const char *label, const char *cmdline);
/** The image's own program: @file as it was named, @program what runs for it. At start. */
void exec_allow_own(struct file *file, const struct program *program);
/** May the current process start what is in @file?  If not it was said on the log. */
bool exec_allowed(struct file *file, const char *path);

/** Name a thread after its program, as execve does. */
void exec_name_thread(struct thread *thread, const char *path);
