/* Coroutines for the host, so that kernel code which switches threads can be tested. */
#pragma once

#include "lib/types.h"

struct fiber;

/** A coroutine that begins in @fn(@arg), which must not return.  Never NULL. */
struct fiber *fiber_create(void (*fn)(void *), void *arg);
/** The one that runs now, for the main stack. */
struct fiber *fiber_main(void);
/** Leave @from, go on in @to. */
void fiber_switch(struct fiber *from, struct fiber *to);
/** Free one that will not be switched to again and does not run. */
void fiber_destroy(struct fiber *fiber);
/** Let this thread of the host find @base at gs:0. */
void fiber_set_gs(void *base);
