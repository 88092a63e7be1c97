/* AF_VSOCK in the Linux ABI (linux/vm_sockets.h). */
#pragma once

#include "lib/types.h"

#define VMADDR_CID_ANY  0xffffffffu
#define VMADDR_PORT_ANY 0xffffffffu
enum { VMADDR_CID_HYPERVISOR = 0, VMADDR_CID_LOCAL = 1, VMADDR_CID_HOST = 2 };

struct sockaddr_vm_abi {
    u16 family, reserved;
    u32 port, cid;
    u8 flags, zero[3];
};
static_assert(sizeof(struct sockaddr_vm_abi) == 16, "ABI");

/** Options at level AF_VSOCK. */
enum vsock_option {
    SO_VM_SOCKETS_BUFFER_SIZE = 0,
    SO_VM_SOCKETS_BUFFER_MIN_SIZE = 1,
    SO_VM_SOCKETS_BUFFER_MAX_SIZE = 2,
    SO_VM_SOCKETS_CONNECT_TIMEOUT = 6,
    SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW = 8,
};
enum { IOCTL_VM_SOCKETS_GET_LOCAL_CID = 0x7b9 };
