/* Host names without making a reactor wait: a helper thread asks, its answer comes as a post. The job belongs
 * to the thread until it has posted, then to the reactor; who has given up on it never touches it again, so a
 * resolver that takes its time outlives the owner, not the other way round. Jobs come from the real heap: an
 * env is one thread's. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/io/io.h"

#define RESOLVE_THREADS_MAX 16 /* of the process */

struct resolve_job {
    pthread_mutex_t lock;
    bool given_up; /* by the owner; under the lock */
    bool posted;   /* the thread is through with it; under the lock */
    struct io *io;
    struct io_resolve *owner; /* the reactor's: NULL when given up */
    struct io_post post;
    io_resolver *resolver;
    char text[IO_RESOLVE_TEXT_MAX];
    uint16_t default_port;
    struct io_addr addrs[IO_RESOLVE_MAX];
    int result;
};

static atomic_int resolve_threads;

static void job_free(struct resolve_job *job)
{
    pthread_mutex_destroy(&job->lock);
    free(job);
}

/* On the reactor. */
static void job_answer(struct io_post *post)
{
    struct resolve_job *job = container_of(post, struct resolve_job, post);
    struct io_resolve *r = job->owner;
    if (r) {
        r->busy = false;
        r->job = NULL;
        r->result = job->result;
        memcpy(r->addrs, job->addrs, sizeof r->addrs);
    }
    pthread_mutex_lock(&job->lock); /* the thread may be on its way out of it */
    pthread_mutex_unlock(&job->lock);
    job_free(job);
    if (r)
        r->done(r);
}

static void *job_run(void *arg)
{
    struct resolve_job *job = arg;
    job->result = job->resolver(job->text, job->default_port, job->addrs, IO_RESOLVE_MAX);
    if (job->result == 0)
        job->result = ERR_NOTFOUND;
    pthread_mutex_lock(&job->lock);
    bool given_up = job->given_up;
    if (!given_up) {
        job->posted = true;
        io_post(job->io, &job->post);
    }
    pthread_mutex_unlock(&job->lock);
    if (given_up)
        job_free(job);
    atomic_fetch_sub(&resolve_threads, 1);
    return NULL;
}

static int job_start(struct resolve_job *job)
{
    pthread_t thread;
    sigset_t all, before;
    if (atomic_fetch_add(&resolve_threads, 1) >= RESOLVE_THREADS_MAX) {
        atomic_fetch_sub(&resolve_threads, 1);
        return ERR_BUSY;
    }
    sigfillset(&all); /* signals are the program's own threads' matter */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, NULL, job_run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        atomic_fetch_sub(&resolve_threads, 1);
        return ERR_NOMEM;
    }
    pthread_detach(thread);
    return 0;
}

int io_resolve(struct io *io, struct io_resolve *r, const char *text, uint16_t default_port)
{
    if (r->busy)
        return ERR_BUSY;
    if (addr_parse(text, default_port, &r->addrs[0]) == 0)
        return 1;
    if (strlen(text) >= IO_RESOLVE_TEXT_MAX)
        return ERR_TOOBIG;
    struct resolve_job *job = calloc(1, sizeof *job);
    if (!job)
        return ERR_NOMEM;
    pthread_mutex_init(&job->lock, NULL);
    job->io = io;
    job->owner = r;
    job->post.run = job_answer;
    job->resolver = r->resolver ? r->resolver : addr_resolve;
    job->default_port = default_port;
    memcpy(job->text, text, strlen(text) + 1);
    r->busy = true;
    r->job = job;
    int err = job_start(job);
    if (err) {
        r->busy = false;
        r->job = NULL;
        job_free(job);
    }
    return err;
}

void io_resolve_cancel(struct io_resolve *r)
{
    struct resolve_job *job = r->job;
    if (!r->busy)
        return;
    r->busy = false;
    r->job = NULL;
    job->owner = NULL;
    pthread_mutex_lock(&job->lock);
    job->given_up = !job->posted; /* who frees it: the thread, or the post that is on its way */
    pthread_mutex_unlock(&job->lock);
}
