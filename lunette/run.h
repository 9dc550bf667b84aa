/* Running another of Lunette's programs in this one's place: run_posix.c, run_win32.c. */
#ifndef LUNETTE_LUNETTE_RUN_H
#define LUNETTE_LUNETTE_RUN_H

#include <stdbool.h>

#define RUN_NAME_MAX 64 /* of a program, "lunette-" included */

enum run_result {
    RUN_NOT_FOUND = -1, /* neither beside this program nor in PATH */
    RUN_FAILED = -2     /* found, and it can't be run; the reason has been printed */
};

/* Is there such a program? Looks where run_program looks. */
bool run_exists(const char *name);
/* Runs `name` with the arguments of this program from the second on (argv[0] is replaced by `name`); looks
 * beside this program first, then in PATH. Where the system can replace a process it does not return then;
 * elsewhere it returns the exit code, 0 or more. Else an enum run_result. */
int run_program(const char *name, char **argv);

#endif
