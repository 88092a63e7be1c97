/* The debug kernel's stack canary: one word for all, since it is there to find mistakes. */
#include "core/panic.h"

extern uintptr_t __stack_chk_guard;
uintptr_t __stack_chk_guard = 0x5bd1e995a7c4f300;
_Noreturn void __stack_chk_fail(void);

_Noreturn void __stack_chk_fail(void)
{
    panic("a stack frame was overrun");
}
