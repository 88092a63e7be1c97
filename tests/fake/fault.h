/* Making things fail in turn.  Every fake that can fail asks fault_point() first; a test walks
 * through all of them:
 *
 *     FOR_EACH_FAULT(fault) {
 *         int err = work();
 *         EXPECT_EQ(err, fault.err, fault.what);
 *     }
 *
 * The body runs with the first point failing, then the second, and so on; the last run has no
 * failure and sees fault.err == 0.  Once a point has failed, later ones in that run succeed. */
#pragma once

#include "lib/types.h"

struct fault {
    unsigned int nth; /* which point fails in this run, from 1 */
    unsigned int met; /* points met so far in this run */
    int err;          /* what it failed with; 0 until then */
    const char *what; /* what failed */
};

/** Start the next run; false when the run before met no failure, so all are through. */
bool fault_arm(struct fault *fault);

/**
 * A place that can fail.  @err: the negative errno to fail with; @what: static text.
 * Returns @err when it must fail now, else 0.
 */
int fault_point(int err, const char *what);

#define FOR_EACH_FAULT(fault) for (struct fault fault = {.what = "no failure"}; fault_arm(&fault);)
