/* Posts and wake-ups from other threads: a lock-free stack and an eventfd that is written only when the owner
 * sleeps.
 *
 * Why no wake-up is lost: the owner stores `sleeping`, then looks at the mail; a sender stores the mail, then
 * looks at `sleeping`. Both are sequentially consistent, so at least one of the two sees what the other
 * stored. */
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/io/posix.h"

int mailbox_init(struct mailbox *mailbox)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    atomic_init(&mailbox->head, NULL);
    atomic_init(&mailbox->sleeping, false);
    atomic_init(&mailbox->woken, false);
    mailbox->event_fd = fd;
    return 0;
}

void mailbox_fini(struct mailbox *mailbox)
{
    assert(!atomic_load(&mailbox->head));
    close(mailbox->event_fd);
}

/* Wakes the owner if it sleeps. */
static void mailbox_notify(struct mailbox *mailbox)
{
    /* Of many senders only the first that finds the owner asleep pays for the system call. */
    if (!atomic_load(&mailbox->sleeping) || !atomic_exchange(&mailbox->sleeping, false))
        return;
    const uint64_t one = 1;
    ssize_t written;
    do
        written = write(mailbox->event_fd, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
    assert(written ==
           (ssize_t)sizeof(one)); /* the counter cannot be full: it is drained before the next sleep */
    (void)written;
}

/* The usual push of a Treiber stack; taking all at once leaves no room for the ABA problem. */
void mailbox_post(struct mailbox *mailbox, struct io_post *post)
{
    struct io_post *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    do
        post->next = head;
    while (!atomic_compare_exchange_weak(&mailbox->head, &head, post));
    mailbox_notify(mailbox);
}

/* A flag, not a post: many wakes are one, and a wake before the wait is not forgotten. */
void mailbox_wake(struct mailbox *mailbox)
{
    atomic_store(&mailbox->woken, true);
    mailbox_notify(mailbox);
}

bool mailbox_sleep(struct mailbox *mailbox)
{
    atomic_store(&mailbox->sleeping, true);
    return !atomic_load(&mailbox->head) && !atomic_load(&mailbox->woken);
}

void mailbox_awake(struct mailbox *mailbox)
{
    atomic_store_explicit(&mailbox->sleeping, false, memory_order_relaxed);
}

void mailbox_drain(struct mailbox *mailbox)
{
    uint64_t count;
    ssize_t got;
    do
        got = read(mailbox->event_fd, &count, sizeof(count));
    while (got < 0 && errno == EINTR);
    (void)got;
}

void mailbox_run(struct mailbox *mailbox)
{
    /* Plain loads first: on a busy reactor an exchange per turn would take the cache line for nothing. */
    if (atomic_load_explicit(&mailbox->woken, memory_order_relaxed))
        atomic_store(&mailbox->woken, false);
    if (!atomic_load_explicit(&mailbox->head, memory_order_relaxed))
        return;
    struct io_post *newest = atomic_exchange(&mailbox->head, NULL);
    struct io_post *oldest = NULL;
    while (newest) {
        struct io_post *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct io_post *next = oldest->next; /* read first: run may free the post */
        oldest->run(oldest);
        oldest = next;
    }
}
