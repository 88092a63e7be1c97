/* A lock for many or for one: who fills or writes pages of a file comes in with others, who takes
 * blocks away from it is alone. */
#include "fs/ext4/priv.h"

void gate_init(struct ext4_gate *gate)
{
    mutex_init(&gate->lock);
    waitq_init(&gate->wait);
    gate->readers = 0;
    gate->writer = false;
}

void gate_enter(struct ext4_gate *gate)
{
    mutex_lock(&gate->lock);
    while (unlikely(gate->writer)) {
        mutex_unlock(&gate->lock);
        (void)wait_event(&gate->wait, !__atomic_load_n(&gate->writer, __ATOMIC_ACQUIRE), false,
                         NO_DEADLINE); /* looked at again */
        mutex_lock(&gate->lock);
    }
    gate->readers++;
    mutex_unlock(&gate->lock);
}

void gate_leave(struct ext4_gate *gate)
{
    mutex_lock(&gate->lock);
    __atomic_store_n(&gate->readers, gate->readers - 1, __ATOMIC_RELEASE);
    bool wake = !gate->readers && gate->writer;
    mutex_unlock(&gate->lock);
    if (unlikely(wake))
        waitq_wake_all(&gate->wait, 0);
}

void gate_close(struct ext4_gate *gate)
{
    mutex_lock(&gate->lock);
    while (gate->writer) {
        mutex_unlock(&gate->lock);
        (void)wait_event(&gate->wait, !__atomic_load_n(&gate->writer, __ATOMIC_ACQUIRE), false,
                         NO_DEADLINE); /* looked at again */
        mutex_lock(&gate->lock);
    }
    __atomic_store_n(&gate->writer, true, __ATOMIC_RELEASE);
    mutex_unlock(&gate->lock);
    (void)wait_event(&gate->wait, !__atomic_load_n(&gate->readers, __ATOMIC_ACQUIRE), false,
                     NO_DEADLINE); /* nobody new comes in */
}

void gate_open(struct ext4_gate *gate)
{
    mutex_lock(&gate->lock);
    __atomic_store_n(&gate->writer, false, __ATOMIC_RELEASE);
    mutex_unlock(&gate->lock);
    waitq_wake_all(&gate->wait, 0);
}
