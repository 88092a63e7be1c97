/* ingot: casts one application and a kernel into one bootable image, and runs it.
 * Finds the command in the table, runs it, and prints its error: nobody else does. */
#include "cli/cli.h"

#include "lib/buf.h"
#include "lib/types.h"

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_build,    &command_run,     &command_images,  &command_rmi,     &command_inspect,
    &command_tag,      &command_volume,  &command_doctor,  &command_ps,      &command_logs,
    &command_stop,     &command_kill,    &command_start,   &command_restart, &command_wait,
    &command_rm,       &command_rename,  &command_port,    &command_stats,   &command_top,
    &command_events,   &command_pause,   &command_unpause, &command_attach,  &command_exec,
    &command_snapshot, &command_restore, &command_export,  &command_debug,   &command_metrics,
    &command_migrate,  &command_receive, &command_system,
};

static void main_help(void)
{
    puts(
        "Usage: ingot COMMAND [OPTIONS] ...\n\n"
        "Run an unmodified Linux program as a unikernel: one program, one small kernel, one VM.\n\n"
        "Commands:");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i]->summary)
            printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts("\nOptions:\n"
         "  -h, --help     show this help\n"
         "  -V, --version  show the version\n\n"
         "'ingot COMMAND --help' tells more; 'ingot run /bin/echo hello' is a first thing to try.");
}

static const struct command *main_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i]->name) == 0)
            return commands[i];
    return NULL;
}

/* Commands of container tools that have another name here, or none. */
static const struct {
    const char *name, *answer;
} main_elsewhere[] = {
    {"pull", "there is no registry client; 'skopeo copy docker://IMAGE oci:DIR', then 'ingot run "
             "oci:DIR'"},
    {"push", "there is no registry client; 'ingot export' writes disks and boot files"},
    {"load", "write 'ingot build FILE.tar', or run the file as it is"},
    {"import", "write 'ingot build FILE.tar', or an Ingotfile with COPY"},
    {"save", "write 'ingot export'"},
    {"create", "write 'ingot run -d', or 'ingot volume create'"},
    {"cp", "write 'ingot volume cp'; into a run files go by --file and -v"},
    {"info", "write 'ingot doctor'"},
    {"version", "write 'ingot --version'"},
};

static int main_unknown(const char *word)
{
    const char *names[ARRAY_LEN(commands)];

    for (size_t i = 0; i < ARRAY_LEN(main_elsewhere); i++)
        if (strcmp(word, main_elsewhere[i].name) == 0) {
            fprintf(stderr, "ingot: no command '%s': %s\n", word, main_elsewhere[i].answer);
            return 2;
        }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        names[i] = commands[i]->name;
    const char *nearest = str_nearest(word, names, ARRAY_LEN(names));
    if (nearest)
        fprintf(stderr, "ingot: unknown command '%s'; did you mean '%s'?\n", word, nearest);
    else
        fprintf(stderr, "ingot: unknown command '%s'; see 'ingot --help'\n", word);
    return 2;
}

/* A full disk under a redirected standard output must not look like success. */
static int main_flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("ingot: standard output");
    return status ? status : 1;
}

int main(int argc, char **argv)
{
    struct err err = {0};

    if (argc < 2) {
        main_help();
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "help") == 0 && argc == 2)) {
        main_help();
        return main_flush(0);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("ingot " INGOT_VERSION);
        return main_flush(0);
    }
    bool help = strcmp(argv[1], "help") == 0; /* `ingot help run` */
    const struct command *command = main_find(argv[1 + help]);
    if (!command)
        return main_unknown(argv[1 + help]);
    char *words[] = {argv[1 + help], (char *)(uintptr_t) "--help", NULL};
    int status = help ? command->run(2, words, &err) : command->run(argc - 1, argv + 1, &err);
    if (status >= 0)
        return main_flush(status);
    fflush(stdout);
    fprintf(stderr, "ingot %s: %s\n", command->name, err.text);
    if (err.code == ERR_USAGE)
        return 2;
    return command->failed_status ? command->failed_status : 1;
}
