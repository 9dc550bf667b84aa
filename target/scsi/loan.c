/* Loans: memory of a store that goes out as it lies, as a chunk whose last unref gives it back. */
#include "target/scsi/private.h"

/* The output is done with it, or the task that asked for it is over. */
static void loan_release(struct chunk *chunk)
{
    struct scsi_loan *loan = (struct scsi_loan *)chunk;
    struct store *store = loan->lender->lu->store;
    loan->lender->loans--;
    if (loan->of_store)
        store->ops->give_back(store, loan->of_store, loan->chunk.data);
    loan_unused(loan);
}

struct scsi_loan *loan_new(struct scsi_reactor *r)
{
    struct list_node *node = list_pop_front(&r->free_loans);
    if (node)
        return list_entry(node, struct scsi_loan, node);
    struct scsi_loan *loan = env_alloc(r->env, sizeof *loan);
    if (!loan)
        return NULL;
    loan->r = r;
    loan->chunk.release = loan_release;
    return loan;
}

void loan_unused(struct scsi_loan *loan)
{
    list_push_front(&loan->r->free_loans, &loan->node);
}

struct slice loan_take(struct scsi_loan *loan, struct scsi_lu_view *lender, const struct store_req *req)
{
    loan->lender = lender;
    lender->loans++;
    loan->of_store = req->loan;
    loan->chunk.data = req->vec[0].ptr;
    loan->chunk.cap = (uint32_t)req->vec[0].len;
    loan->chunk.refs = 1;
    return slice_take(&loan->chunk, 0, loan->chunk.cap);
}

void loans_free(struct scsi_reactor *r)
{
    struct list_node *node;
    while ((node = list_pop_front(&r->free_loans)))
        env_free(r->env, list_entry(node, struct scsi_loan, node));
}
