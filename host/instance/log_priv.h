/* What the files of the log writer share. */
#pragma once

#include "instance/log.h"

/** Send one line to a daemon; false: it was lost. */
bool log_send(struct log_writer *log, enum log_stream stream, const char *line, size_t len);
