/* How many words of a text are separated by blanks. */
#pragma once

#include <stddef.h>

size_t count_words(const char *text);
