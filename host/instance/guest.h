/* The operator's line to the kernel of a guest: the socket `guest` in its folder.  A
 * request is a line; the answer is "ok LENGTH" and as many bytes, or "error WHY"
 * (docs/architecture.md, "The operator's line"). */
#pragma once

#include "instance/instance.h"
#include "lib/buf.h"
#include "lib/err.h"

/**
 * Ask, and wait for the answer.
 * @request: a line without its end
 * @answer: what it answered is appended; NULL: not wanted
 * Errors: ESRCH nobody listens, ETIMEDOUT, EINVAL with the guest's words.
 */
int guest_ask(const struct instance *instance, const char *request, u64 patience_ms,
              struct buf *answer, struct err *err);

/** What a copy of a guest must not have in common with it.  Borrowed; NULL: as it is. */
struct guest_identity {
    const char *hostname;
    const char *mac; /* of its interface: "52:54:00:12:34:56" */
    const char
        *ip; /* as the kernel's ip=; NULL: its leases anew, and fixed addresses as they are */
};

/**
 * Tell a guest that time has passed it by: the clock, and seed for its random numbers.
 * @identity: it is a copy; NULL: it is the one that it was
 */
int guest_resume(const struct instance *instance, const struct guest_identity *identity,
                 struct err *err);
