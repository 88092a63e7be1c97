/* Terminals of the Linux ABI (asm-generic/termbits.h, asm-generic/ioctls.h), x86-64. */
#pragma once

#include "lib/types.h"

enum { TTY_NCCS = 19 };

/** What TCGETS and TCSETS move: smaller than the C library's struct of that name. */
struct termios_abi {
    u32 iflag, oflag, cflag, lflag;
    u8 line;
    u8 cc[TTY_NCCS];
};

/** What TCGETS2 and TCSETS2 move. */
struct termios2_abi {
    struct termios_abi base;
    u32 ispeed, ospeed;
};

struct winsize_abi {
    u16 rows, cols, xpixel, ypixel;
};

static_assert(sizeof(struct termios_abi) == 36, "ABI");
static_assert(sizeof(struct termios2_abi) == 44, "ABI");
static_assert(sizeof(struct winsize_abi) == 8, "ABI");

/** Indices into cc[]. */
enum tty_cc {
    TTY_VINTR = 0,
    TTY_VQUIT = 1,
    TTY_VERASE = 2,
    TTY_VKILL = 3,
    TTY_VEOF = 4,
    TTY_VTIME = 5,
    TTY_VMIN = 6,
    TTY_VSTART = 8,
    TTY_VSTOP = 9,
    TTY_VSUSP = 10,
    TTY_VEOL = 11,
    TTY_VREPRINT = 12,
    TTY_VWERASE = 14,
    TTY_VLNEXT = 15,
    TTY_VEOL2 = 16,
};

enum tty_iflag {
    TTY_IGNBRK = 0x1,
    TTY_INLCR = 0x40,
    TTY_IGNCR = 0x80,
    TTY_ICRNL = 0x100,
    TTY_IXON = 0x400,
    TTY_IXANY = 0x800,
    TTY_ISTRIP = 0x20,
    TTY_IUTF8 = 0x4000,
};

enum tty_oflag {
    TTY_OPOST = 0x1,
    TTY_ONLCR = 0x4,
    TTY_OCRNL = 0x8,
    TTY_ONOCR = 0x10,
    TTY_ONLRET = 0x20,
    TTY_XTABS = 0x1800,
};

enum tty_cflag { TTY_B38400 = 0xf, TTY_CS8 = 0x30, TTY_CREAD = 0x80, TTY_HUPCL = 0x400 };

enum tty_lflag {
    TTY_ISIG = 0x1,
    TTY_ICANON = 0x2,
    TTY_TOSTOP = 0x100,
    TTY_ECHO = 0x8,
    TTY_ECHOE = 0x10,
    TTY_ECHOK = 0x20,
    TTY_ECHONL = 0x40,
    TTY_NOFLSH = 0x80,
    TTY_ECHOCTL = 0x200,
    TTY_ECHOKE = 0x800,
    TTY_IEXTEN = 0x8000,
};

enum tty_ioctl {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403,
    TCSETSF = 0x5404,
    TCSBRK = 0x5409,
    TCXONC = 0x540a,
    TCFLSH = 0x540b,
    TIOCEXCL = 0x540c,
    TIOCNXCL = 0x540d,
    TIOCSCTTY = 0x540e,
    TIOCGPGRP = 0x540f,
    TIOCSPGRP = 0x5410,
    TIOCOUTQ = 0x5411,
    TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414,
    FIONREAD = 0x541b,
    FIONBIO = 0x5421,
    TIOCNOTTY = 0x5422,
    TCSBRKP = 0x5425,
    TIOCGSID = 0x5429,
    TIOCGPTN = 0x80045430u,
    TIOCSPTLCK = 0x40045431,
    TIOCGPTLCK = 0x80045439u,
    TIOCGPTPEER = 0x5441,
    TCGETS2 = 0x802c542au,
    TCSETS2 = 0x402c542b,
    TCSETSW2 = 0x402c542c,
    TCSETSF2 = 0x402c542d,
    FIONCLEX = 0x5450,
    FIOCLEX = 0x5451,
    FIOASYNC = 0x5452,
};
