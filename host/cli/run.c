/* `ingot run`: from a target to a running guest to the program's exit status. */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "image/image.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define OPTION(field) offsetof(struct run_options, field)

static const struct option_spec run_option_specs[] = {
    {"env",          'e', OPTION_TEXTS,  OPTION(env),          "NAME[=VALUE]",     "set a variable, or pass ours on"        },
    {"env-file",     0,   OPTION_TEXTS,  OPTION(env_files),    "FILE",             "set the variables that FILE lists"      },
    {"memory",       'm', OPTION_TEXT,   OPTION(memory),       "SIZE",             "memory of the guest (256M)"             },
    {"cpus",         0,   OPTION_NUMBER, OPTION(cpus),         "N",                "CPUs of the guest (1)"                  },
    {"workdir",      'w', OPTION_TEXT,   OPTION(workdir),      "DIR",              "working directory in the guest"         },
    {"hostname",     0,   OPTION_TEXT,   OPTION(hostname),     "NAME",             "host name of the guest"                 },
    {"entrypoint",   0,   OPTION_TEXT,   OPTION(entrypoint),   "PATH",             "start this program instead"             },
    {"file",         0,   OPTION_TEXTS,  OPTION(files),        "HOST:GUEST",       "add a file or a folder"                 },
    {"with",         0,   OPTION_TEXTS,  OPTION(with),         "NAME",             "add the run-time extras of NAME"        },
    {"program",      0,   OPTION_TEXT,   OPTION(program),      "NAME",             "which program of a project folder"      },
    {"rebuild",      0,   OPTION_FLAG,   OPTION(rebuild),      NULL,               "build anew, whatever the cache has"     },
    {"no-patch",     0,   OPTION_FLAG,   OPTION(no_patch),     NULL,               "leave system calls as they are"         },
    {"seal",         0,   OPTION_FLAG,   OPTION(seal),         NULL,               "refuse calls that are not in the image" },
    {"allow-exec",   0,   OPTION_TEXTS,  OPTION(exec),         "PROGRAM",          "let it start this program too"          },
    {"single",       0,   OPTION_FLAG,   OPTION(single),       NULL,               "one process: no fork, no execve"        },
    {"interactive",  'i', OPTION_SWITCH, OPTION(interactive),  NULL,
     "pass standard input (the default; =false: empty)"                                                                     },
    {"tty",          't', OPTION_SWITCH, OPTION(tty),          NULL,
     "give it the terminal (the default on one; =false)"                                                                    },
    {"rm",           0,   OPTION_FLAG,   OPTION(rm),           NULL,               "accepted: nothing is ever left behind"  },
    {"name",         0,   OPTION_TEXT,   OPTION(name),         "NAME",             "name shown in the process list"         },
    {"kernel",       0,   OPTION_TEXT,   OPTION(kernel),       "FILE",             "boot this kernel"                       },
    {"machine",      0,   OPTION_TEXT,   OPTION(machine),      "TYPE",             "microvm (the default), q35 or pc"       },
    {"accel",        0,   OPTION_TEXT,   OPTION(accel),        "NAME",             "kvm, tcg or auto: kvm where it is quick"},
    {"isolation",    0,   OPTION_TEXT,   OPTION(isolation),    "KIND",             "vm, process or auto"                    },
    {"volume",       'v', OPTION_TEXTS,  OPTION(volumes),      "VOLUME:PATH[:ro]",
     "mount a volume, or an ext4 image, in it"                                                                              },
    {"publish",      'p', OPTION_TEXTS,  OPTION(publish),      "HOST:GUEST",
     "forward a port of this machine to it"                                                                                 },
    {"net",          0,   OPTION_TEXT,   OPTION(net),          "KIND",             "user, none or tap:NAME[,ip=ADDRESS/N]"  },
    {"pcap",         0,   OPTION_TEXT,   OPTION(pcap),         "FILE",             "capture its packets"                    },
    {"append",       0,   OPTION_TEXTS,  OPTION(append),       "WORDS",            "more words for the kernel"              },
    {"trace",        0,   OPTION_MAYBE,  OPTION(trace),        "[=FILE]",          "print every system call"                },
    {"missing",      0,   OPTION_FLAG,   OPTION(missing),      NULL,               "print paths looked for and not found"   },
    {"loglevel",     0,   OPTION_NUMBER, OPTION(loglevel),     "N",                "kernel messages to show, 0 to 7 (4)"    },
    {"stop-signal",  0,   OPTION_TEXT,   OPTION(stop_signal),  "SIGNAL",           "what Ctrl-C sends"                      },
    {"stop-timeout", 0,   OPTION_NUMBER, OPTION(stop_timeout), "SECONDS",
     "time to stop before the VM is ended (10)"                                                                             },
    {"timeout",      0,   OPTION_NUMBER, OPTION(timeout),      "SECONDS",          "end the VM after this time"             },
    {"verbose",      0,   OPTION_FLAG,   OPTION(verbose),      NULL,               "show the exact VMM command"             },
    {"dry-run",      0,   OPTION_FLAG,   OPTION(dry_run),      NULL,               "print the VMM command, start nothing"   },
    {"quiet",        'q', OPTION_FLAG,   OPTION(quiet),        NULL,               "no progress, no kernel messages"        },
    {NULL,           0,   OPTION_FLAG,   0,                    NULL,               NULL                                     },
};

static void run_options_fini(struct run_options *options)
{
    strs_free(&options->env);
    strs_free(&options->env_files);
    strs_free(&options->files);
    strs_free(&options->append);
    strs_free(&options->with);
    strs_free(&options->publish);
    strs_free(&options->exec);
    strs_free(&options->volumes);
}

static int run_check(const struct run_options *options, struct err *err)
{
    if (options->loglevel < 0 || options->loglevel > 7)
        return err_set(err, ERR_USAGE, "--loglevel: %ld is not in 0 to 7", options->loglevel);
    if (options->stop_timeout < 0)
        return err_set(err, ERR_USAGE, "--stop-timeout: it cannot be negative");
    if (options->timeout < 0)
        return err_set(err, ERR_USAGE, "--timeout: it cannot be negative");
    return 0;
}

static int run_describe(const struct run_guest *guest, FILE *to, struct err *err)
{
    char *command CLEANUP(mem_free) = NULL;
    int failed = guest->vmm->describe(&guest->config, &command, err);

    if (!failed)
        fprintf(to, "%s\n", command);
    return failed;
}

static int run_image(const struct run_options *options, const struct image *image,
                     char *const *args, struct err *err)
{
    struct run_guest guest CLEANUP(run_guest_fini) = {.extra_layer = -1};
    int failed = run_guest_init(&guest, options, image, args, err);

    if (failed)
        return failed;
    if (options->dry_run)
        return run_describe(&guest, stdout, err);
    if (options->verbose)
        failed = run_describe(&guest, stderr, err);
    return failed ? failed : run_guest(&guest, options, err);
}

/* Started with a closed stream, we would hand its number to a channel of the guest. */
static void run_open_streams(void)
{
    while (true) {
        int fd = open("/dev/null", O_RDWR);
        if (fd <= STDERR_FILENO && fd >= 0)
            continue;
        fd_close(&fd);
        return;
    }
}

static int run_main(int argc, char **argv, struct err *err)
{
    struct run_options options CLEANUP(run_options_fini) = {
        .cpus = 1, .loglevel = 4, .stop_timeout = 10, .interactive = -1, .tty = -1};
    struct image image CLEANUP(image_free) = {0};
    int words;
    int done = cli_options(&command_run, argc, argv, OPTIONS_FIRST, &options, &words, err);

    if (done)
        return min(done, 0);
    if (!words)
        return err_set(err, ERR_USAGE, "nothing to run; see 'ingot run --help'");
    int failed = run_check(&options, err);
    if (failed)
        return failed;
    struct image_opts opts = {
        .with = &options.with,
        .exec = &options.exec,
        .program = options.program,
        .quiet = options.quiet,
        .rebuild = options.rebuild,
        .no_patch = options.no_patch,
    };
    run_open_streams();
    failed = image_resolve(argv[1], &opts, &image, err);
    if (failed)
        return failed;
    return run_image(&options, &image, argv + 2, err);
}

const struct command command_run = {
    .name = "run",
    .summary = "Run a program, a source file, a project or an image as a unikernel",
    .usage = "[OPTIONS] TARGET [ARG...]",
    .options = run_option_specs,
    .help = "The program's output, input and exit status are those of this command;\n"
            "125 means that the guest failed, 126 and 127 that its program could not start.\n\n"
            "Examples:\n"
            "  ingot run /bin/echo hello\n"
            "  ingot run examples/hello/hello.c\n"
            "  ingot run -e NAME=x -m 64M --file ./a.txt:/data/a.txt /bin/cat /data/a.txt",
    .run = run_main,
};
