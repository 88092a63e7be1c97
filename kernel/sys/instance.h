/* What one instance is told without rebuilding its image: environment, arguments, host name and
 * files, from a drive or from a cloud's metadata server; docs/guide/export.md, "Settings of one
 * instance".  The command line has the last word, then this, then the image. */
#pragma once

#include "lib/types.h"

struct program_config;

/**
 * Ask the sources that ingot.config=, else the image's label, else the firmware names, and apply
 * what the first one that answers says.  What is malformed is warned about and left out. Thread
 * context, sleeps; at start, with the root mounted.
 */
void instance_configure(struct program_config *config);

/** What a source answers; texts are the heap's, NULL: there is none. */
struct instance_data {
    char *hostname;
    char *user_data;
    size_t user_data_len;
};

enum instance_cloud { CLOUD_NONE, CLOUD_EC2, CLOUD_GCE, CLOUD_OPENSTACK };

/** Ask the metadata server of @cloud, at 169.254.169.254. False: nobody answers within some
 * seconds.
 */
bool instance_ask_cloud(enum instance_cloud cloud, struct instance_data *out);
/** The "hostname" of an OpenStack meta_data.json, which is cut up; the caller's to free, or NULL.
 */
char *instance_openstack_hostname(char *json, size_t len);
