/* Timers, posts and wake-ups: what happens inside one turn and between threads. */
#include <pthread.h>
#include <stdatomic.h>

#include "common/io/heap.h"
#include "test_io_common.h"

/* ---- the heap under the timers ---- */

static void the_heap_gives_keys_in_order_and_equal_keys_as_inserted(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static struct heap_node nodes[COUNT];
    static bool inside[COUNT];
    struct heap heap = {0};
    uint32_t random = 9;
    for (int i = 0; i < COUNT; i++) {
        random = random * 1664525u + 1013904223u;
        heap_insert(&heap, &nodes[i], (random >> 16) % 97);
        inside[i] = true;
    }
    /* Some leave from the middle, some come back. */
    for (int i = 0; i < COUNT; i += 3) {
        heap_remove(&heap, &nodes[i]);
        inside[i] = false;
        if (i % 2) {
            heap_insert(&heap, &nodes[i], 50);
            inside[i] = true;
        }
    }
    int expected = 0, count = 0;
    for (int i = 0; i < COUNT; i++)
        expected += inside[i];
    uint64_t key = 0, seq = 0;
    for (struct heap_node *node; (node = heap_min(&heap)); count++) {
        assert_true(node->key > key || (node->key == key && (count == 0 || node->seq > seq)));
        key = node->key;
        seq = node->seq;
        heap_remove(&heap, node);
    }
    assert_int_equal(count, expected);
}

/* ---- timers ---- */

struct watch {
    struct io_timer timer;
    struct io *io;
    int fired;
    int order;
    uint64_t again_ns; /* re-arms itself by so much, `times` times */
    int times;
};
static int fire_order;

static void watch_fired(struct io_timer *timer)
{
    struct watch *watch = container_of(timer, struct watch, timer);
    assert_false(timer->armed);
    assert_true(timer->deadline_ns <= io_now(watch->io));
    watch->fired++;
    watch->order = fire_order++;
    if (watch->times-- > 0)
        io_timer_arm(watch->io, timer, io_now(watch->io) + watch->again_ns);
}

static struct watch watch_new(struct io *io)
{
    return (struct watch){.timer = {.fire = watch_fired}, .io = io};
}

static void timers_fire_in_order_and_never_early(void **state)
{
    RIG(state);
    struct watch a = watch_new(rig->io), b = a, c = a, never = a;
    const uint64_t now_ns = io_now(rig->io);
    io_timer_arm(rig->io, &a.timer, now_ns + 6 * NS_PER_MS);
    io_timer_arm(rig->io, &never.timer, now_ns + 3 * NS_PER_MS);
    io_timer_arm(rig->io, &b.timer, now_ns + 2 * NS_PER_MS);
    io_timer_arm(rig->io, &c.timer, now_ns + 90000 * NS_PER_MS);
    io_timer_arm(rig->io, &c.timer, now_ns + 4 * NS_PER_MS); /* moved */
    assert_true(never.timer.armed);
    io_timer_cancel(rig->io, &never.timer);
    io_timer_cancel(rig->io, &never.timer);
    assert_false(never.timer.armed);
    RUN_UNTIL(rig->io, a.fired);
    assert_true(b.order < c.order && c.order < a.order);
    assert_int_equal(a.fired + b.fired + c.fired, 3);
    assert_int_equal(never.fired, 0);
    assert_true(io_now(rig->io) >= now_ns + 6 * NS_PER_MS);
}

static void a_timer_that_re_arms_for_the_past_does_not_hold_the_turn(void **state)
{
    RIG(state);
    struct watch busy = watch_new(rig->io);
    busy.times = 1000;
    io_timer_arm(rig->io, &busy.timer, 0);
    io_run(rig->io, 0);
    assert_int_equal(busy.fired, 1);
    RUN_UNTIL(rig->io, busy.fired == 1001);
}

static void ten_thousand_timers_all_fire(void **state)
{
    RIG(state);
    enum { COUNT = 10000 };
    struct watch *watches = calloc(COUNT, sizeof(*watches));
    const uint64_t now_ns = io_now(rig->io);
    for (int i = 0; i < COUNT; i++) {
        watches[i] = watch_new(rig->io);
        io_timer_arm(rig->io, &watches[i].timer, now_ns + (uint64_t)(i * 7919 % COUNT) * 500);
    }
    for (int i = 0; i < COUNT; i += 2)
        io_timer_cancel(rig->io, &watches[i].timer);
    RUN_UNTIL(rig->io, io_now(rig->io) > now_ns + 10 * NS_PER_MS);
    io_run(rig->io, 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(watches[i].fired, i % 2);
    free(watches);
}

static void run_waits_no_longer_than_asked(void **state)
{
    RIG(state);
    const uint64_t now_ns = io_now(rig->io), until_ns = now_ns + 5 * NS_PER_MS;
    RUN_UNTIL(rig->io, io_now(rig->io) >= until_ns);
    while (io_now(rig->io) < until_ns)
        io_run(rig->io, until_ns);
    assert_true(io_now(rig->io) < now_ns + 2000 * NS_PER_MS);
    for (int i = 0; i < 3; i++)
        io_run(rig->io, 0);
}

/* ---- posts ---- */

struct note {
    struct io_post post;
    struct inbox *inbox;
    int sender;
    int number;
};

enum { SENDERS = 4, POSTS = 5000 };

struct inbox {
    struct io *io;
    int last[SENDERS];
    int count;
    bool out_of_order;
};

static void note_run(struct io_post *post)
{
    struct note *note = container_of(post, struct note, post);
    struct inbox *inbox = note->inbox;
    inbox->out_of_order |= note->number != inbox->last[note->sender] + 1;
    inbox->last[note->sender] = note->number;
    inbox->count++;
    free(note); /* run owns the post */
}

static void note_send(struct inbox *inbox, int sender, int number)
{
    struct note *note = calloc(1, sizeof(*note));
    note->post.run = note_run;
    note->inbox = inbox;
    note->sender = sender;
    note->number = number;
    io_post(inbox->io, &note->post);
}

static void posts_from_the_own_thread_run_in_a_later_turn_in_order(void **state)
{
    RIG(state);
    struct inbox inbox = {.io = rig->io};
    for (int i = 1; i <= 100; i++)
        note_send(&inbox, 0, i);
    assert_int_equal(inbox.count, 0);
    RUN_UNTIL(rig->io, inbox.count == 100);
    assert_false(inbox.out_of_order);
}

struct sender {
    struct inbox *inbox;
    int number;
    pthread_t thread;
};

static void *sender_thread(void *arg)
{
    struct sender *sender = arg;
    for (int i = 1; i <= POSTS; i++)
        note_send(sender->inbox, sender->number, i);
    return NULL;
}

static void posts_from_many_threads_all_arrive_in_each_senders_order(void **state)
{
    RIG(state);
    struct inbox inbox = {.io = rig->io};
    struct sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i].inbox = &inbox;
        senders[i].number = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_thread, &senders[i]), 0);
    }
    /* No limit: a lost wake-up would hang here. */
    while (inbox.count < SENDERS * POSTS)
        io_run(rig->io, UINT64_MAX);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_false(inbox.out_of_order);
}

/* Two reactors on two threads that throw one post to and fro: every throw finds the other one asleep or
 * nearly so. */
struct court {
    struct io_post post;
    struct io *io[2];
    int side;
    int throws_left;
    atomic_bool over;
    struct rig *rig;
};

static void court_run(struct io_post *post)
{
    struct court *court = container_of(post, struct court, post);
    court->side = 1 - court->side;
    if (court->throws_left-- == 0) {
        atomic_store(&court->over, true);
        io_wake(court->io[0]);
        io_wake(court->io[1]);
        return;
    }
    io_post(court->io[court->side], post);
}

static void *court_thread(void *arg)
{
    struct court *court = arg;
    while (!atomic_load(&court->over))
        io_run(court->io[1], UINT64_MAX);
    return NULL;
}

static void a_post_thrown_between_two_sleeping_reactors_never_gets_lost(void **state)
{
    RIG(state);
    struct court court = {.post = {.run = court_run}, .io = {rig->io, rig_new_io(rig)}, .throws_left = 4000};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, court_thread, &court), 0);
    io_post(court.io[0], &court.post);
    while (!atomic_load(&court.over))
        io_run(court.io[0], UINT64_MAX);
    pthread_join(thread, NULL);
    io_free(court.io[1]);
}

static void *wake_thread(void *arg)
{
    io_wake(arg);
    return NULL;
}

static void wake_ends_an_endless_wait(void **state)
{
    RIG(state);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_thread, rig->io), 0);
        io_run(rig->io, UINT64_MAX);
        pthread_join(thread, NULL);
        io_run(rig->io, 0); /* the wake may have come before the wait: it must not pile up */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_gives_keys_in_order_and_equal_keys_as_inserted),
        RIG_TEST(timers_fire_in_order_and_never_early),
        RIG_TEST(a_timer_that_re_arms_for_the_past_does_not_hold_the_turn),
        RIG_TEST(ten_thousand_timers_all_fire),
        RIG_TEST(run_waits_no_longer_than_asked),
        RIG_TEST(posts_from_the_own_thread_run_in_a_later_turn_in_order),
        RIG_TEST_REAL(posts_from_many_threads_all_arrive_in_each_senders_order),
        RIG_TEST_REAL(a_post_thrown_between_two_sleeping_reactors_never_gets_lost),
        RIG_TEST_REAL(wake_ends_an_endless_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
