/* What lunette-bench can do: each runs to its end, reports, and returns the exit status. */
#ifndef LUNETTE_BENCH_MODES_H
#define LUNETTE_BENCH_MODES_H

#include <stdbool.h>
#include <stdio.h>

struct bench_options;

int mode_load(struct bench_options *o);
int mode_recover(struct bench_options *o);
int mode_logins(struct bench_options *o);
int mode_idle(struct bench_options *o);

/* One line on standard error; returns 1. */
int mode_told(const char *what);
/* Opens a report's file; "-" is standard output. NULL after having told why not. */
FILE *mode_open(const char *path);
/* False after having told that not all could be written. */
bool mode_close(FILE *file, const char *path);

#endif
