/* iSCSI names: iqn., eui. and naa. (RFC 7143 section 4.2.7, RFC 3722, RFC 3980), and target addresses
 * (section 13.8).
 *
 * What is checked of RFC 3722: ASCII completely (letters are folded to lower case; only a-z 0-9 - . :
 * remain). Beyond ASCII only that the name is valid UTF-8: such characters pass unchanged, because NFKC
 * folding needs Unicode tables that the codec does not carry. A name beyond ASCII therefore has to be given
 * in its normalised form. */
#ifndef LUNETTE_ISCSI_NAME_H
#define LUNETTE_ISCSI_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LEN_MAX 223u /* bytes (4.2.7.2) */
#define NAME_CAP     224u /* with NUL */

#define NAME_PORT_DEFAULT     3260u
#define NAME_ADDRESS_HOST_CAP 256u

enum name_type { NAME_INVALID, NAME_IQN, NAME_EUI, NAME_NAA };

/* NAME_STRICT is for names that we configure or send. NAME_LENIENT is for names that a peer sends: any
 * printable character without white space may stand after the type designator, and an iqn date is not looked
 * at. Length, type designator, UTF-8 and the digits of eui and naa count in both. */
enum name_mode { NAME_STRICT, NAME_LENIENT };

/* Validates and folds to lower case into out, NUL-terminated. Returns the type, or NAME_INVALID with *reason
 * (may be NULL) set to a static sentence and out untouched. `len` bytes at `text`, need not be terminated. */
enum name_type name_normalize(const char *text, size_t len, enum name_mode mode, char out[NAME_CAP],
                              const char **reason);
/* As name_normalize without output; in addition the text must already be in its normalised form when mode is
 * NAME_STRICT. */
enum name_type name_check(const char *text, size_t len, enum name_mode mode, const char **reason);
/* Compares two normalised names (byte for byte, 4.2.7.2). */
bool name_equal(const char *a, const char *b);

/* Patterns for access lists: a name, or text in which each `*` stands for any run of characters, also none.
 */
/* Is the pattern usable? Only characters of names and `*`; at most NAME_LEN_MAX bytes; folded to lower case
 * into out. */
bool name_pattern_normalize(const char *text, size_t len, char out[NAME_CAP], const char **reason);
/* Both normalised. Time is at most proportional to the product of the lengths. */
bool name_match(const char *pattern, const char *name);

/* host[:port][,portal-group-tag]; the host is a DNS name, an IPv4 address, or an IPv6 address in brackets. */
struct name_address {
    char host[NAME_ADDRESS_HOST_CAP]; /* without brackets, NUL-terminated */
    bool ipv6;                        /* it stood in brackets */
    uint16_t port;                    /* NAME_PORT_DEFAULT when not given */
    bool has_tag;
    uint16_t tag; /* portal group tag, 0 when not given */
};
/* False, and out untouched, when malformed. */
bool name_address_parse(const char *text, size_t len, struct name_address *out);

#endif
