/* Is /dev/kvm worth using?  Some nested hosts offer one that interprets every guest instruction:
 * it works, and is many times slower than emulation by a translating VMM. */
#pragma once

#include "lib/types.h"

enum kvm_state {
    KVM_ABSENT,  /* no /dev/kvm */
    KVM_REFUSED, /* it may not be opened */
    KVM_BROKEN,  /* it cannot run a guest of a few instructions */
    KVM_SLOW,    /* it interprets, or takes too long over everything */
    KVM_QUICK,
};

struct kvm_info {
    enum kvm_state state;
    char why[160]; /* one line for a user */
};

/**
 * Try a tiny guest in a child process, for at most a fifth of a second; the answer is remembered
 * until the machine boots again.
 */
void kvm_probe(struct kvm_info *info);
