/* Names are made canonical once, when they come in, and are compared byte for byte ever after. So everything
 * that could make two spellings of one name differ is settled here. */
#include "common/iscsi/name.h"

#include <string.h>

#include "common/iscsi/nfc.h"
#include "common/iscsi/text.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 3722 maps capitals to small letters; of all its mappings the only one inside ASCII. */
static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Allowed in a normalised name. Bytes above 0x7f belong to UTF-8 sequences that are checked as a whole. */
static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '.' || c == ':' ||
           (unsigned char)c >= 0x80;
}

/* What a peer may call itself: initiators with underscores and slashes in their names exist. Spaces and
 * control characters stay out, since names go into logs and lists. */
static bool is_name_char_lenient(char c)
{
    return (c > 0x20 && c < 0x7f) || (unsigned char)c >= 0x80;
}

static bool is_hex_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* "2001-04." and a domain of at least one label: letters, digits and inner dashes between single dots. */
static const char *check_iqn(const char *rest)
{
    static const char form[] = "dddd-dd.";
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd' ? !is_digit(rest[i]) : rest[i] != form[i])
            return "the date in an iqn name must be yyyy-mm and be followed by a dot"; /* R7143-4.2.7.4-01 */
    int month = (rest[5] - '0') * 10 + rest[6] - '0';
    if (month < 1 || month > 12)
        return "the month in an iqn name must be 01 to 12"; /* R7143-4.2.7.4-01 */
    const char *domain = rest + sizeof form - 1;
    size_t len = strcspn(domain, ":"); /* the free part begins after the first colon: R7143-4.2.7.4-04 */
    if (len == 0)
        return "an iqn name needs a reversed domain name after the date";
    for (size_t i = 0; i < len; i++) {
        bool edge = i == 0 || i == len - 1 || domain[i - 1] == '.' || domain[i + 1] == '.';
        if (edge && (domain[i] == '.' || domain[i] == '-'))
            return "the domain part of an iqn name has an empty label, or one that begins or ends with a "
                   "dash";
    }
    return NULL;
}

/* The length says which kind of identifier it is, so both lengths of an naa name are exact. */
static const char *check_hex(const char *rest, size_t len_a, size_t len_b, const char *sentence)
{
    size_t len = strlen(rest);
    if (len != len_a && len != len_b)
        return sentence;
    for (size_t i = 0; i < len; i++)
        if (!is_hex_char(rest[i]))
            return sentence;
    return NULL;
}

/* The three designators of 4.2.7.3; a fourth would need a new RFC. */
static enum name_type name_type_of(const char *name)
{
    if (strncmp(name, "iqn.", 4) == 0)
        return NAME_IQN;
    if (strncmp(name, "eui.", 4) == 0)
        return NAME_EUI;
    return strncmp(name, "naa.", 4) == 0 ? NAME_NAA : NAME_INVALID;
}

/* Checks a folded name; NULL when fine. */
static const char *check_folded(const char *name, size_t len, enum name_mode mode)
{
    for (size_t i = 0; i < len; i++) {
        bool fine = mode == NAME_LENIENT ? is_name_char_lenient(name[i]) : is_name_char(name[i]);
        if (!fine && name[i] == '_')
            return "an iSCSI name may not contain an underscore (RFC 3722)";
        if (!fine) /* R7143-4.2.7.2-02 */
            return "an iSCSI name may contain only letters, digits, '-', '.' and ':'";
    }
    if (mode == NAME_STRICT && !nfc_is_certain(name, len)) /* R7143-4.2.7.2-01 */
        return "an iSCSI name has its accents in one character with their letters (normalization form C)";
    switch (name_type_of(name)) {
    case NAME_IQN:
        if (len == 4)
            return "nothing follows iqn.";
        return mode == NAME_STRICT ? check_iqn(name + 4) : NULL;
    case NAME_EUI: /* R7143-4.2.7.5-01 */
        return check_hex(name + 4, 16, 16, "an eui name has 16 hexadecimal digits");
    case NAME_NAA: /* R7143-4.2.7.6-01 */
        return check_hex(name + 4, 16, 32, "an naa name has 16 or 32 hexadecimal digits");
    default: /* R7143-4.2.7.3-01 */
        return "an iSCSI name begins with iqn., eui. or naa.";
    }
}

/* Length and encoding, then the folded copy. NULL when fine. */
static const char *fold_into(const char *text, size_t len, char *out)
{
    if (len == 0)
        return "empty iSCSI name";
    if (len > NAME_LEN_MAX) /* R7143-4.2.7.2-04 */
        return "an iSCSI name has at most 223 bytes";
    if (!text_is_utf8((struct text_range){text, len})) /* R7143-4.2.7.2-01 */
        return "an iSCSI name must be valid UTF-8";
    for (size_t i = 0; i < len; i++)
        out[i] = fold(text[i]); /* R7143-4.2.7.1-07 */
    out[len] = 0;
    return NULL;
}

enum name_type name_normalize(const char *text, size_t len, enum name_mode mode, char out[NAME_CAP],
                              const char **reason)
{
    char folded[NAME_CAP];
    const char *wrong = fold_into(text, len, folded);
    if (!wrong)
        wrong = check_folded(folded, len, mode);
    if (wrong) {
        if (reason)
            *reason = wrong;
        return NAME_INVALID;
    }
    memcpy(out, folded, len + 1);
    return name_type_of(out);
}

enum name_type name_check(const char *text, size_t len, enum name_mode mode, const char **reason)
{
    char folded[NAME_CAP];
    enum name_type type = name_normalize(text, len, mode, folded, reason);
    if (type != NAME_INVALID && mode == NAME_STRICT &&
        memcmp(folded, text, len) != 0) { /* R7143-4.2.7.1-06 */
        if (reason)
            *reason = "an iSCSI name has no capital letters";
        return NAME_INVALID;
    }
    return type;
}

bool name_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0; /* R7143-4.2.7.2-05 */
}

/* Patterns follow the lenient rule: they have to be able to name every initiator that can log in. */
bool name_pattern_normalize(const char *text, size_t len, char out[NAME_CAP], const char **reason)
{
    char folded[NAME_CAP];
    const char *wrong = fold_into(text, len, folded);
    for (size_t i = 0; !wrong && i < len; i++)
        if (!is_name_char_lenient(folded[i]))
            wrong = "a name pattern may contain only characters of iSCSI names and '*'";
    if (wrong) {
        if (reason)
            *reason = wrong;
        return false;
    }
    memcpy(out, folded, len + 1);
    return true;
}

/* Greedy matching that remembers only the last star: when the rest does not fit, that star takes one byte
 * more. Earlier stars never need another try, which keeps this quadratic at worst. */
bool name_match(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

/* ---- addresses ---- */

/* Port and tag have the form of TargetPortalGroupTag, a 16-bit binary value (13.8). */
static bool parse_u16(struct text_range digits, uint16_t *out)
{
    uint8_t bytes[2];
    if (!text_decode_binary_fixed(digits, bytes, 2))
        return false;
    *out = (uint16_t)(bytes[0] << 8 | bytes[1]);
    return true;
}

/* A host name or a dotted address: what lies between is the resolver's business. */
static bool is_host(struct text_range host, bool ipv6)
{
    if (host.len == 0 || host.len >= NAME_ADDRESS_HOST_CAP)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i], low = fold(c);
        bool fine = is_digit(c) || c == '.' ||
                    (ipv6 ? c == ':' || (low >= 'a' && low <= 'f')
                          : c == '-' || c == '_' || (low >= 'a' && low <= 'z'));
        if (!fine)
            return false;
    }
    return true;
}

bool name_address_parse(const char *text, size_t len, struct name_address *out)
{
    struct name_address a = {.port = NAME_PORT_DEFAULT}; /* R7143-13.8-02 */
    struct text_range rest = {text, len}, host;
    if (len == 0)
        return false;
    a.ipv6 = text[0] == '[';
    /* The colons of an IPv6 address are told from the port's by the brackets alone. */
    if (a.ipv6) {
        const char *close = memchr(text, ']', len);
        if (!close)
            return false;
        host = (struct text_range){text + 1, (size_t)(close - text) - 1};
        rest = (struct text_range){close + 1, len - host.len - 2};
    } else {
        size_t n = 0;
        while (n < len && text[n] != ':' && text[n] != ',')
            n++;
        host = (struct text_range){text, n};
        rest = (struct text_range){text + n, len - n};
    }
    if (!is_host(host, a.ipv6) || !text_copy(host, a.host, sizeof a.host))
        return false;
    const char *comma = rest.len ? memchr(rest.ptr, ',', rest.len) : NULL;
    size_t port_len = comma ? (size_t)(comma - rest.ptr) : rest.len;
    if (port_len &&
        (rest.ptr[0] != ':' || !parse_u16((struct text_range){rest.ptr + 1, port_len - 1}, &a.port)))
        return false;
    a.has_tag = comma != NULL;
    if (comma && !parse_u16((struct text_range){comma + 1, rest.len - port_len - 1}, &a.tag))
        return false;
    *out = a;
    return true;
}
