/* ingot tag: give an image one more name. */
#include "cli/cli.h"

#include "image/reference.h"
#include "image/store.h"
#include "lib/cleanup.h"

static const struct option_spec tag_specs[] = {{0}};

static int tag_run(int argc, char **argv, struct err *err)
{
    int words, unused;

    int status = cli_options(&command_tag, argc, argv, OPTIONS_ANYWHERE, &unused, &words, err);
    if (status)
        return status > 0 ? 0 : status;
    if (words != 2)
        return err_set(err, ERR_USAGE, "write 'ingot tag IMAGE NAME[:TAG]'");
    char *name CLEANUP(mem_free) = reference_full(argv[2], err);
    return name ? store_tag(argv[1], name, err) : -err->code;
}

const struct command command_tag = {
    .name = "tag",
    .summary = "Give an image one more name",
    .usage = "IMAGE NAME[:TAG]",
    .options = tag_specs,
    .run = tag_run,
};
