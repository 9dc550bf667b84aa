#include "common/base/mutant.h"

#ifdef LUNETTE_MUTANTS
enum mutant mutant_on;
#else
typedef int mutant_nothing; /* a product has none, and C wants something here */
#endif
