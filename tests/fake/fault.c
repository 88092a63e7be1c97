#include "fake/fault.h"

enum { FAULTS_MAX = 10000 }; /* a body that always meets a new point would never end */

static struct fault *armed;

bool fault_arm(struct fault *fault)
{
    if ((fault->nth && !fault->err) || fault->nth >= FAULTS_MAX) {
        armed = NULL;
        return false;
    }
    *fault = (struct fault){.nth = fault->nth + 1, .what = "no failure"};
    armed = fault;
    return true;
}

int fault_point(int err, const char *what)
{
    if (!armed || armed->err || ++armed->met != armed->nth)
        return 0;
    armed->err = err;
    armed->what = what;
    return err;
}
