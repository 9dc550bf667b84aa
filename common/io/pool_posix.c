/* A few threads that run blocking file operations for one io. Completions come back as posts to the io, so
 * whatever wakes a reactor for a post wakes it for these too. */
#include <assert.h>
#include <signal.h>

#include "common/io/posix.h"

static struct file_job *job_of(struct io_op *op)
{
    return (struct file_job *)op->backend;
}

int file_pool_init(struct file_pool *pool, struct io *io, void (*complete)(struct io_op *op, int64_t result))
{
    *pool = (struct file_pool){.io = io, .complete = complete};
    list_init(&pool->queue);
    int err = pthread_mutex_init(&pool->lock, NULL);
    if (err)
        return err_from_errno(err);
    err = pthread_cond_init(&pool->work, NULL);
    if (err) {
        pthread_mutex_destroy(&pool->lock);
        return err_from_errno(err);
    }
    return 0;
}

void file_pool_fini(struct file_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    assert(list_empty(&pool->queue));
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
}

/* Back on the io's thread. */
static void file_pool_finished(struct io_post *post)
{
    struct file_job *job = container_of(post, struct file_job, post);
    job->pool->complete(job->op, job->result);
}

/* Runs ops until the pool ends. The lock is held except while an op runs. */
static void *file_pool_thread(void *arg)
{
    struct file_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        struct list_node *node = list_pop_front(&pool->queue);
        if (!node) {
            pool->waiting_threads++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->waiting_threads--;
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        struct io_op *op = list_entry(node, struct io_op, node);
        struct file_job *job = job_of(op);
        job->result = file_run(op);
        io_post(pool->io, &job->post); /* from here on the op is the io's again */
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Under lock. Signals stay with the threads of the program, which know what to do with them. */
static void file_pool_start_thread(struct file_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return;
    if (pthread_create(&pool->threads[pool->thread_count], NULL, file_pool_thread, pool) == 0)
        pool->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void file_pool_submit(struct file_pool *pool, struct io_op *op)
{
    struct file_job *job = job_of(op);
    job->post.run = file_pool_finished;
    job->op = op;
    job->pool = pool;
    pthread_mutex_lock(&pool->lock);
    if (pool->waiting_threads == 0 && pool->thread_count < FILE_POOL_THREADS)
        file_pool_start_thread(pool);
    bool can_queue = pool->thread_count > 0;
    if (can_queue) {
        list_push_back(&pool->queue, &op->node);
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!can_queue) {
        job->result = file_run(op);
        io_post(pool->io, &job->post);
    }
}

/* Under the lock an op is either still linked into the queue or a thread has taken it for good. */
bool file_pool_cancel(struct file_pool *pool, struct io_op *op)
{
    pthread_mutex_lock(&pool->lock);
    bool waiting = list_linked(&op->node);
    if (waiting)
        list_remove(&op->node);
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}
