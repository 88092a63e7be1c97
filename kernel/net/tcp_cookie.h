/* First sequence numbers, where timestamps begin, and SYN cookies: what secret keys decide. */
#pragma once

#include "lib/types.h"

struct flow;
struct tcp_options;
struct tcp_request;

/** Make the keys of flow hashes, first sequence numbers and SYN cookies; at start. */
void tcp_secrets_init(void);
/** RFC 6528. */
u32 tcp_isn(const struct flow *flow, u64 now_ns);
/** Where timestamps of this pair of hosts begin. */
u32 tcp_ts_offset(const struct flow *flow);
/** The initial number that encodes @mss; *@mss is rounded down to what can be encoded. */
u32 tcp_cookie_make(const struct flow *flow, u32 irs, u16 *mss, u32 now);
/** True if @cookie is one of ours of the last two minutes or so: then *@mss. */
bool tcp_cookie_check(const struct flow *flow, u32 irs, u32 cookie, u32 now, u16 *mss);
/** Options hidden in the low bits of a timestamp. */
u32 tcp_cookie_ts(u32 ts_now, const struct tcp_options *options, bool ecn);
void tcp_cookie_ts_decode(u32 tsecr, struct tcp_request *r);
