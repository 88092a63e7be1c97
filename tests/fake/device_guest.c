#include "fake/device_guest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fake_guest_init(struct fake_guest *fake, u32 nr_devices)
{
    *fake = (struct fake_guest){0};
    fake->window = aligned_alloc(WINDOW_PAGE, window_bytes(nr_devices));
    memset(fake->window, 0, window_bytes(nr_devices));
    fake->guest = (struct guest){
        .memory = {.at = aligned_alloc(16, GUEST_MEMORY), .len = GUEST_MEMORY},
        .window = fake->window,
        .nr_devices = nr_devices,
        .pidfd = -1,
        .words = open_memstream(&fake->words, &fake->words_len),
    };
    memset(fake->guest.memory.at, 0, GUEST_MEMORY);
    fake->window->cpu[0].pending = GUEST_PENDING;
    if (pipe(fake->irq))
        abort();
    fake->guest.irq_fd = fake->irq[1];
}

void fake_guest_fini(struct fake_guest *fake)
{
    fclose(fake->guest.words);
    free(fake->words);
    free(fake->window);
    free(fake->guest.memory.at);
    close(fake->irq[0]);
    close(fake->irq[1]);
}

void fake_start(struct fake_guest *fake, struct device *dev, u64 features, u32 nr_queues)
{
    (void)fake;
    for (u32 i = 0; i < nr_queues; i++) {
        u64 at = GUEST_RINGS * (i + 1);
        dev->page->queue[i] = (struct window_queue){.desc = at,
                                                    .avail = at + 0x100,
                                                    .used = at + 0x200,
                                                    .max = dev->page->queue[i].max,
                                                    .size = GUEST_QUEUE,
                                                    .enabled = 1,
                                                    .line = 5};
    }
    dev->page->features = features;
    dev->page->status = 15;
    dev->page->request++;
}

struct fake_desc *fake_desc(struct fake_guest *fake, u32 queue, u32 i)
{
    return (struct fake_desc *)fake_at(fake, GUEST_RINGS * (queue + 1)) + i;
}

void fake_offer(struct fake_guest *fake, u32 queue, u16 head)
{
    u16 *avail = fake_at(fake, GUEST_RINGS * (queue + 1) + 0x100);

    avail[2 + avail[1] % GUEST_QUEUE] = head;
    avail[1]++;
}

u16 fake_used(struct fake_guest *fake, u32 queue, u32 *len)
{
    u16 *used = fake_at(fake, GUEST_RINGS * (queue + 1) + 0x200);

    if (len && used[1])
        memcpy(len, (char *)used + 4 + (used[1] - 1) % GUEST_QUEUE * 8 + 4, sizeof(*len));
    return used[1];
}
