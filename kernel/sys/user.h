/* As whom the program starts: "User" of the image config, or ingot.user= on the command line. */
#pragma once

struct process;
struct program_config;

/**
 * Give @process, which has not started, the ids that @config->user names, as Docker does:
 * "USER[:GROUP]", each a name of /etc/passwd and /etc/group or a number.  Without a group it is the
 * user's own, together with those that /etc/group lists the user in.  HOME becomes the user's
 * unless the image has set another; the standard streams belong to the user.  Ends the start with
 * an error if there is no such user.  In the boot thread, with @process as its own.
 */
void user_become(struct process *process, struct program_config *config);
