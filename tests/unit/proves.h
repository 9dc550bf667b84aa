/* PROVES(id, role): called as the last line of a test that has shown a requirement; role is "initiator",
 * "target" or "both" (an id whose row says `both` needs both roles). The ids go, one "id<TAB>role<TAB>test"
 * line each, to the file named by LUNETTE_PROOFS, which `make requirements` reads: a test that fails or is
 * skipped never gets here. */
#ifndef LUNETTE_TESTS_PROVES_H
#define LUNETTE_TESTS_PROVES_H

#include <stdio.h>
#include <stdlib.h>

static inline void proves_record(const char *id, const char *role, const char *file, const char *test)
{
    const char *path = getenv("LUNETTE_PROOFS");
    if (!path)
        return;
    FILE *out = fopen(path, "a");
    if (!out) {
        perror(path);
        abort();
    }
    fprintf(out, "%s\t%s\t%s:%s\n", id, role, file, test);
    fclose(out);
}

#define PROVES(id, role) proves_record(id, role, __FILE__, __func__)

#endif
