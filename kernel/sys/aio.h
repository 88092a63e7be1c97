/* io_setup(2) and its family: what processes have of it. */
#pragma once

struct process;

/** Wait for what is under way and drop it all: @process ends, or gets another program. */
void aio_process_gone(struct process *process);
