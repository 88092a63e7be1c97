/* Classic BPF: the filters of tcpdump, dhclient and ping.  A program is checked once, when it is
 * attached: known instructions, jumps forward and inside, memory inside; so it ends and touches
 * nothing but the packet, its registers and 16 words.  bpf(4), linux/filter.h. */
#pragma once

#include "abi/packet.h"

struct pkt;

/* What a filter sees: a packet, perhaps behind a link header that it does not have itself. */
struct bpf_view {
    const struct pkt *pkt;
    const u8 *head; /* .head_len bytes that come before .pkt's */
    u32 head_len;   /* 0: none */
    u32 start;      /* where offset 0 of the program lies in all that */
    u32 network;    /* where the network header lies */
    u16 protocol;   /* EtherType */
    u8 type;        /* enum packet_type */
    u16 hatype;     /* ARPHRD_* */
    u32 ifindex;
};

/** Bytes of all that. */
u32 bpf_view_len(const struct bpf_view *view);
/** Copy @n bytes from @at on, counted from the link header. False: too short. */
bool bpf_view_read(const struct bpf_view *view, u32 at, void *to, u32 n);

struct bpf_program {
    u32 len;
    struct bpf_insn_abi insns[];
};

/** Is it one that may run? 0 or -EINVAL. */
int bpf_check(const struct bpf_insn_abi *insns, u32 n);
/** How many bytes of the packet to keep, counted from .start; 0: drop it. @program is checked. */
u32 bpf_run(const struct bpf_program *program, const struct bpf_view *view);
/**
 * What SO_ATTACH_FILTER brings: @value is a struct sock_fprog whose pointer is the program's.
 * 0 and *@out, to be freed with kfree(); -EINVAL, -EFAULT, -ENOMEM. May sleep.
 */
int bpf_from_user(const void *value, u32 len, struct bpf_program **out);
