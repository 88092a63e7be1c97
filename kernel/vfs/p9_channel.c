/* The list of 9p channels; complete before anything is mounted. */
#include "vfs/p9_channel.h"

#include "lib/string.h"

static struct list_head channels = LIST_INIT(channels);

void p9_channel_add(struct p9_channel *channel)
{
    list_add_tail(&channels, &channel->node);
}

struct p9_channel *p9_channel_find(const char *name)
{
    struct p9_channel *channel;

    list_for_each(channel, &channels, node)
        if (!strcmp(channel->name, name))
            return channel;
    return NULL;
}
