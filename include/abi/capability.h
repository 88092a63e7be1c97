/* Capabilities of the Linux ABI. */
#pragma once

#include "lib/types.h"

/* capabilities(7): those that something here asks for. */
enum linux_capability {
    CAP_CHOWN = 0,
    CAP_DAC_OVERRIDE = 1,
    CAP_DAC_READ_SEARCH = 2,
    CAP_FOWNER = 3,
    CAP_FSETID = 4,
    CAP_KILL = 5,
    CAP_SETGID = 6,
    CAP_SETUID = 7,
    CAP_SETPCAP = 8,
    CAP_LINUX_IMMUTABLE = 9,
    CAP_NET_ADMIN = 12,
    CAP_IPC_OWNER = 15,
    CAP_SYS_CHROOT = 18,
    CAP_SYS_PTRACE = 19,
    CAP_SYS_ADMIN = 21,
    CAP_SYS_NICE = 23,
    CAP_SYS_RESOURCE = 24,
    CAP_SYS_TIME = 25,
    CAP_MKNOD = 27,
    CAP_MAC_OVERRIDE = 32,
    CAP_LAST_CAP = 40,
};

/* capget(2): versions and the number of 32-bit words of each. */
#define CAPABILITY_VERSION_1 0x19980330u
#define CAPABILITY_VERSION_2 0x20071026u
#define CAPABILITY_VERSION_3 0x20080522u

struct linux_cap_header {
    u32 version;
    s32 pid;
};
struct linux_cap_data {
    u32 effective, permitted, inheritable;
};
