/* Addresses in the image's constants.  A page that is relocated is a page copied, so those that a
 * start has no use for (names of files in /proc, of system calls) cannot be read until somebody
 * does; what they then get is relocated first. */
#include "abi/mman.h"
#include "plat/hosted/hosted.h"
#include "plat/plat_priv.h"

/* kernel.lds: constants from the end of the text on, the cold ones first. */
extern char kernel_cold_end[], kernel_rodata_end[];

static u64 image_delta; /* [I] */
static bool cold_is_done;

static u64 addr_of(const char *label)
{
    return (u64)(uintptr_t)label;
}

static void protect(const char *from, const char *to, u32 prot)
{
    host_call(HOST_MPROTECT, addr_of(from), (u64)(to - from), prot, 0, 0, 0);
}

void hosted_relocate(u64 delta, bool done)
{
    if (done) {
        cold_is_done = true;
        return;
    }
    plat_relocate(delta, delta, addr_of(kernel_cold_end), UINT64_MAX);
    protect(kernel_text_end, kernel_cold_end, PROT_NONE);
    protect(kernel_cold_end, kernel_rodata_end, PROT_READ);
    image_delta = delta;
}

bool hosted_relocate_cold(u64 addr)
{
    if (cold_is_done || addr - addr_of(kernel_text_end) >= (u64)(kernel_cold_end - kernel_text_end))
        return false;
    cold_is_done = true;
    protect(kernel_text_end, kernel_cold_end, PROT_READ | PROT_WRITE);
    plat_relocate(image_delta, image_delta, addr_of(kernel_text_end), addr_of(kernel_cold_end));
    protect(kernel_text_end, kernel_cold_end, PROT_READ);
    return true;
}
