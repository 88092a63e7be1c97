#include "image/patch/patch.h"
#include "lib/patch.h"

#include <string.h>

bool patch_check(const void *bytes, size_t len, struct patch_header *out)
{
    if (len < sizeof(*out))
        return false;
    memcpy(out, bytes, sizeof(*out));
    return !patch_header_fault(out, len) && out->sites_patched <= out->sites &&
           out->sites_unknown <= out->sites && out->cpuids_patched <= out->cpuids;
}
