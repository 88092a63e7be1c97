/* No user's network: tests of the device process play a tap. */
#include "device/net.h"

#include <stdlib.h>

void user_input(struct user_net *user, const void *frame, size_t len)
{
    (void)user, (void)frame, (void)len;
    abort();
}

bool user_flush(struct user_net *user)
{
    (void)user;
    abort();
}

void user_wait(struct user_net *user, u32 ignored)
{
    (void)user, (void)ignored;
    abort();
}
