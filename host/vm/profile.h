/* Samples of a guest's stacks (abi/report.h), as folded stacks or as a flame graph.  A sample is a
 * line "program;outermost;...;innermost", each place a file of the guest and an offset; names are
 * found in the files of the image's layers. */
#pragma once

#include "lib/err.h"
#include "lib/json.h"
#include "lib/types.h"

struct vm_layer;

struct profile {
    const struct vm_layer *layers; /* borrowed */
    size_t nr_layers;
    json_t *stacks; /* how often each line was seen; owned */
    u64 samples, lost;
};

/** Nothing was sampled so far.  @layers: of the image, the lowest first; borrowed. */
void profile_init(struct profile *profile, const struct vm_layer *layers, size_t nr_layers);
void profile_fini(struct profile *profile);

/** Take one sample of @len bytes. */
void profile_add(struct profile *profile, const char *line, size_t len);

/**
 * Name the places and write all to @path: folded stacks with their counts where it ends in
 * ".folded", else an SVG.  Errors: EINVAL there are no samples, or what the system said.
 */
int profile_write(struct profile *profile, const char *path, struct err *err);
