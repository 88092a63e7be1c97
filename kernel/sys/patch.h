/* Programs and libraries whose system calls are jumps: the patch that the image has for a file
 * (abi/patch.h) is mapped with it.  Whatever is wrong with a patch, the file runs without it. */
#pragma once

#include "mm/mm.h"

struct file;
struct patch;

/**
 * The patch of @file for an image that spans [@low, +@span) of the file's addresses; one reference.
 * NULL: none, none that fits (said once), or there is no gate in @mm.
 */
struct patch *patch_open(struct mm *mm, struct file *file, u64 low, u64 span);
/** Drop a reference; NULL is ignored.  Areas of the patch hold their own. */
void patch_put(struct patch *patch);

/** Bytes that the stubs want right behind the image. */
u64 patch_stubs_len(const struct patch *patch);
/** Say where the image is going to be: @bias is added to the file's addresses.  Once, before use.
 */
void patch_place(struct patch *patch, u64 bias);
/** What to map in place of the file. */
struct vm_backing *patch_text(struct patch *patch);
/** Map the stubs behind the image.  0 or -ENOMEM. */
int patch_map_stubs(struct patch *patch, struct mm *mm);

/**
 * mmap of a private file mapping, as the dynamic linker does it.  The first one of a library spans
 * all of it: it gets room for the stubs and keeps the patch; those that are put into it follow it.
 * @flags and the others as for mm_map().  1: not ours, map the file itself; else as mm_map().
 */
int patch_mmap(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct file *file, u64 offset,
               u64 *out);
