/* The version of all of Lunette. */
#ifndef LUNETTE_BASE_VERSION_H
#define LUNETTE_BASE_VERSION_H

#define LUNETTE_VERSION "0.1.0"

#endif
