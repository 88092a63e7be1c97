/* How `syscall` instructions become jumps: the file that the image builder makes for a program or a
 * library and that the kernel reads when it maps one, and the gate that the jumps lead to.
 *
 * The file of an object is /.ingot/patch/NAME.ipf, NAME by lib/patch.h, in the same layer as the
 * object.  The object itself stays as it is: the file has whole pages that are mapped in place of
 * the object's (some unchanged, so that they come in few runs), and one run of stubs that is mapped
 * right behind its image.  A patched site jumps to its stub; a stub loads RCX as the instruction
 * would and jumps through the gate.  Nothing is pushed, so the red zone is the program's. */
#pragma once

/* Where patched programs enter the kernel: a pointer at a fixed address, read-only in every address
 * space, reached by `jmp *GATE_ADDR` with the call's number in RAX and the address to go on at in
 * RCX.  RCX and R11 are lost, as with SYSCALL; all other registers but RAX survive. */

/** Of the pointer.  Its page lies above what Linux lets a process map (vm.mmap_min_addr). */
#define GATE_ADDR 0x10800

/* The same page tells patched programs what CPUID says, an instruction that costs microseconds
 * where the machine is a VM and that a C library executes forty times at its start.  Their `cpuid`
 * jumps to a stub that looks here and executes it only if it finds nothing. */
#define CPUID_TABLE_ADDR 0x10810

/** struct cpuid_entry: its size, and .subleaf of a leaf that does not look at ECX. */
#define CPUID_ENTRY_SIZE  24
#define CPUID_ANY_SUBLEAF 0xffffffff

#ifndef __ASSEMBLER__
#include "lib/types.h"

enum { CPUID_ENTRIES_MAX = 80 };

struct cpuid_entry {
    u32 leaf, subleaf;
    u32 eax, ebx, ecx, edx;
};
struct cpuid_table {
    u32 count; /* at most CPUID_ENTRIES_MAX */
    u32 reserved;
    struct cpuid_entry at[CPUID_ENTRIES_MAX];
};
static_assert(sizeof(struct cpuid_entry) == CPUID_ENTRY_SIZE, "the stub knows it");
static_assert(CPUID_TABLE_ADDR % 4096 + sizeof(struct cpuid_table) <= 4096, "one page");

#define PATCH_DIR    "patch" /* below /.ingot */
#define PATCH_SUFFIX ".ipf"

enum {
    PATCH_MAGIC = 0x66706749, /* "Igpf" */
    PATCH_VERSION = 5,
    PATCH_PAGE = 4096,
    PATCH_AREAS_MAX = 4,
    PATCH_CALLS = 512,          /* numbers that the bitmap has room for */
    PATCH_PAGES_MAX = 1 << 16,  /* 256 MiB of text */
    PATCH_STUBS_MAX = 16 << 20, /* bytes */
};

/** An executable segment of the object. */
struct patch_area {
    u64 vaddr, offset; /* as the segment has them, rounded down to a page */
    u64 len;           /* bytes from the file, rounded up to a page */
};

/** Where an instruction of a stub comes from, or goes to. Both relative: to the start of the stubs,
 * and to patch_header.low. */
struct patch_pc {
    u32 stub, site;
};

/**
 * The first bytes of the file.  Little-endian; offsets are into the file, those of pages and stubs
 * multiples of 4096.
 */
struct patch_header {
    u32 magic;
    u16 version;
    u16 nr_areas;
    u32 gate;      /* GATE_ADDR */
    u32 id_len;    /* bytes of .id */
    u8 id[32];     /* as in the file's name: the build id, or a hash of the headers */
    u64 file_size; /* of the object */
    u64 low;       /* the object's first address, rounded down to a page */
    u64 span;      /* bytes from there to its end, rounded up: the stubs begin there; below 2 GiB */
    u32 nr_pages, index_at;  /* u32 each: which pages of the object's file, rising */
    u32 pages_at;            /* their bytes, in the same order, without gaps */
    u32 stubs_at, stubs_len; /* machine code; multiples of 4096 */
    u32 nr_pcs, pcs_at;      /* struct patch_pc, rising by .stub: every instruction of every stub */
    u32 nr_backs, backs_at;  /* struct patch_pc, rising by .site: where a jump lies over them */
    u32 sites;               /* system-call instructions found */
    u32 sites_patched;       /* ... that jump */
    u32 sites_unknown;       /* ... whose number is not a constant */
    u32 cpuids;              /* `cpuid` instructions found */
    u32 cpuids_patched;      /* ... that jump */
    char name[64];           /* of the object, for people; ends with a NUL */
    u64 calls[PATCH_CALLS / 64]; /* a bit for each constant number */
    struct patch_area areas[PATCH_AREAS_MAX];
};
static_assert(sizeof(struct patch_header) == 352, "both sides agree");
static_assert(sizeof(struct patch_area) == 24 && sizeof(struct patch_pc) == 8, "both sides agree");

/* What an image can call, for sealing: /.ingot/calls.  The constant numbers of all its objects,
 * those of the layers below, and those that the builder of the image allowed by name. */
struct call_set {
    u32 magic;
    u16 version; /* CALL_SET_VERSION */
    u16 reserved;
    u64 calls[PATCH_CALLS / 64];
};
static_assert(sizeof(struct call_set) == 72, "both sides agree");
enum { CALL_SET_MAGIC = 0x73636749 /* "Igcs" */, CALL_SET_VERSION = 1 };
#endif
