/* Unicode normalization form C, as far as names need it. */
#ifndef LUNETTE_COMMON_ISCSI_NFC_H
#define LUNETTE_COMMON_ISCSI_NFC_H

#include <stdbool.h>
#include <stddef.h>

/* Is well-formed UTF-8 in form C for certain? False also for texts with marks that might have been composed
 * with what stands before them: to tell, one would need the tables of all compositions, and no name needs
 * them. */
bool nfc_is_certain(const char *text, size_t len);

#endif
