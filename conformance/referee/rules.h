/* The referee's rules, one row each. X(tag, requirement, party, vantages, needs, sentence)
 *
 *   party     INITIATOR or TARGET: whose duty it is
 *   vantages  where it can be decided: SEEN_ALL, or only where the PDUs were sent (SEEN_I, SEEN_T)
 *   needs     PDU      the PDU alone
 *             CONN     the connection from its start, without a gap
 *             SESSION  all connections of the session as well
 *
 * A field rule of common/iscsi/pdu_def.h and a key of common/iscsi/key_def.h find their row by requirement
 * and party: the first of the table counts. docs/referee.md lists this table; a unit test keeps the two equal
 * and breaks each rule. */
#ifndef LUNETTE_CONFORMANCE_REFEREE_RULES_H
#define LUNETTE_CONFORMANCE_REFEREE_RULES_H

#define SEEN_I   1u
#define SEEN_T   2u
#define SEEN_ALL 7u

enum { NEEDS_PDU, NEEDS_CONN, NEEDS_SESSION };
#define PDU     NEEDS_PDU
#define CONN    NEEDS_CONN
#define SESSION NEEDS_SESSION

/* clang-format off */

/* Field rules of the codec's table, and what every PDU has. */
#define REFEREE_RULES_PDU(X) \
    X(FIELD_ITT,             "R7143-11.2.1.8-02", INITIATOR, SEEN_ALL, PDU, "0xffffffff is no task tag") \
    X(FIELD_ATTRIBUTE,       "R7143-11.3.1-06",   INITIATOR, SEEN_ALL, PDU, "task attributes are 0 to 4") \
    X(FIELD_FINAL_I,         "R7143-11.2.1.3-01", INITIATOR, SEEN_ALL, PDU, "the first bit of byte 1 is 1 where the format fixes it") \
    X(FIELD_FINAL_T,         "R7143-11.2.1.3-01", TARGET,    SEEN_ALL, PDU, "the first bit of byte 1 is 1 where the format fixes it") \
    X(FIELD_TMF_FINAL,       "R7143-11.5-01",     INITIATOR, SEEN_ALL, PDU, "byte 1 of a TMF Request has bit 7 set") \
    X(FIELD_TMF_LENGTHS,     "R7143-11.5.2-01",   INITIATOR, SEEN_ALL, PDU, "a TMF Request has no AHS and no data") \
    X(FIELD_TMF_RESPONSE,    "R7143-11.6.2-01",   TARGET,    SEEN_ALL, PDU, "a TMF Response has no AHS and no data") \
    X(FIELD_RESPONSE_AHS,    "R7143-11.2-02",     TARGET,    SEEN_ALL, PDU, "responses have no AHS") \
    X(FIELD_R2T_LENGTHS,     "R7143-11.8.1-01",   TARGET,    SEEN_ALL, PDU, "an R2T has no AHS and no data") \
    X(FIELD_R2T_TTT,         "R7143-11.8.5-01",   TARGET,    SEEN_ALL, PDU, "an R2T has a TTT") \
    X(FIELD_R2T_DESIRED,     "R7143-11.8.4-01",   TARGET,    SEEN_ALL, PDU, "an R2T asks for something") \
    X(FIELD_ASYNC_ITT,       "R7143-11.9-01",     TARGET,    SEEN_ALL, PDU, "an Async Message has the tag 0xffffffff") \
    X(FIELD_LOGIN_IMMEDIATE, "R7143-11.12-02",    INITIATOR, SEEN_ALL, PDU, "Login Requests are immediate") \
    X(FIELD_STAGE_I,         "R7143-11.12.3-01",  INITIATOR, SEEN_ALL, PDU, "stages are 0, 1 and 3") \
    X(FIELD_STAGE_T,         "R7143-11.12.3-01",  TARGET,    SEEN_ALL, PDU, "stages are 0, 1 and 3") \
    X(FIELD_LOGOUT_REASON,   "R7143-11.14.1-01",  INITIATOR, SEEN_ALL, PDU, "logout reasons are 0 to 2") \
    X(FIELD_LOGOUT_LENGTHS,  "R7143-11.14.2-01",  INITIATOR, SEEN_ALL, PDU, "a Logout Request has no AHS and no data") \
    X(FIELD_LOGOUT_RESPONSE, "R7143-11.15.2-01",  TARGET,    SEEN_ALL, PDU, "a Logout Response has no AHS and no data") \
    X(FIELD_SNACK_TYPE,      "R7143-11.16.1-01",  INITIATOR, SEEN_ALL, PDU, "SNACK types are 0 to 3") \
    X(FIELD_REJECT_ITT,      "R7143-11.17-01",    TARGET,    SEEN_ALL, PDU, "a Reject has the tag 0xffffffff") \
    X(RESERVED_I,            "R7143-11-02",       INITIATOR, SEEN_ALL, PDU, "reserved bits are 0") \
    X(RESERVED_T,            "R7143-11-02",       TARGET,    SEEN_ALL, PDU, "reserved bits are 0") \
    X(NSG_RESERVED_I,        "R7143-11.12.3-02",  INITIATOR, SEEN_ALL, PDU, "NSG is 0 without T") \
    X(NSG_RESERVED_T,        "R7143-11.12.3-02",  TARGET,    SEEN_ALL, PDU, "NSG is 0 without T") \
    X(OPCODE_I,              "R7143-11.2.1.2-03", INITIATOR, SEEN_ALL, PDU, "opcodes are the assigned ones") \
    X(OPCODE_T,              "R7143-11.2.1.2-03", TARGET,    SEEN_ALL, PDU, "opcodes are the assigned ones") \
    X(OPCODE_OF_TARGET,      "R7143-11.2.1.2-01", INITIATOR, SEEN_ALL, PDU, "initiators send no opcode of targets") \
    X(OPCODE_OF_INITIATOR,   "R7143-11.2.1.2-02", TARGET,    SEEN_ALL, PDU, "targets send no opcode of initiators") \
    X(HEADER_DIGEST_I,       "R7143-13.1-05",     INITIATOR, SEEN_I,   CONN, "the header digest is the CRC32C of header and AHS") \
    X(HEADER_DIGEST_T,       "R7143-13.1-05",     TARGET,    SEEN_T,   CONN, "the header digest is the CRC32C of header and AHS") \
    X(DATA_DIGEST_I,         "R7143-11.2.3-01",   INITIATOR, SEEN_I,   CONN, "the data digest is the CRC32C of data and padding") \
    X(DATA_DIGEST_T,         "R7143-11.2.3-01",   TARGET,    SEEN_T,   CONN, "the data digest is the CRC32C of data and padding") \
    X(PADDING_I,             "R7143-11.1-02",     INITIATOR, SEEN_ALL, PDU, "padding should be zero") \
    X(PADDING_T,             "R7143-11.1-02",     TARGET,    SEEN_ALL, PDU, "padding should be zero") \
    X(DATA_LENGTH_I,         "R7143-13.12-02",    INITIATOR, SEEN_ALL, CONN, "a data segment keeps to the receiver's MaxRecvDataSegmentLength") \
    X(DATA_LENGTH_T,         "R7143-13.12-02",    TARGET,    SEEN_ALL, CONN, "a data segment keeps to the receiver's MaxRecvDataSegmentLength") \
    X(DATA_PDU_LENGTH_I,     "R7143-11.7.1-03",   INITIATOR, SEEN_ALL, CONN, "a data PDU keeps to the receiver's MaxRecvDataSegmentLength") \
    X(DATA_PDU_LENGTH_T,     "R7143-11.7.1-03",   TARGET,    SEEN_ALL, CONN, "a data PDU keeps to the receiver's MaxRecvDataSegmentLength") \
    X(TEXT_LENGTH_I,         "R7143-11.10.5-01",  INITIATOR, SEEN_ALL, CONN, "a Text Request keeps to the target's MaxRecvDataSegmentLength") \
    X(TEXT_LENGTH_T,         "R7143-11.11.6-01",  TARGET,    SEEN_ALL, CONN, "a Text Response keeps to the initiator's MaxRecvDataSegmentLength") \
    X(LOGIN_LENGTH_I,        "R7143-6.3-04",      INITIATOR, SEEN_ALL, CONN, "login PDUs keep to 8192 bytes") \
    X(LOGIN_LENGTH_T,        "R7143-6.3-04",      TARGET,    SEEN_ALL, CONN, "login PDUs keep to 8192 bytes")

/* The login phase. */
#define REFEREE_RULES_LOGIN(X) \
    X(FIRST_IS_LOGIN,         "R7143-4.2.4-03",     INITIATOR, SEEN_ALL, CONN, "a connection begins with a Login Request") \
    X(ONLY_LOGIN_I,           "R7143-4.2.4-02",     INITIATOR, SEEN_ALL, CONN, "only Login Requests until the login has ended") \
    X(ONLY_LOGIN_T,           "R7143-4.2.4-02",     TARGET,    SEEN_ALL, CONN, "only Login Responses until the login has ended") \
    X(SECOND_LOGIN,           "R7143-4.2.4-04",     INITIATOR, SEEN_ALL, CONN, "a connection has one login") \
    X(LOGIN_RESPONSE_LATE,    "R7143-4.2.4-04",     TARGET,    SEEN_ALL, CONN, "a connection has one login") \
    X(AFTER_REFUSAL,          "R7143-11.13.5-16",   TARGET,    SEEN_ALL, CONN, "nothing follows a Login Response that refuses") \
    X(LOGIN_OUTSTANDING_I,    "R7143-6.3-02",       INITIATOR, SEEN_ALL, CONN, "one Login Request is outstanding at a time") \
    X(LOGIN_OUTSTANDING_T,    "R7143-6.3-03",       TARGET,    SEEN_ALL, CONN, "each Login Response answers a Login Request") \
    X(LOGIN_ITT_I,            "R7143-6.3-01",       INITIATOR, SEEN_ALL, CONN, "a login has one task tag") \
    X(LOGIN_ITT_T,            "R7143-6.3-01",       TARGET,    SEEN_ALL, CONN, "a login has one task tag") \
    X(LOGIN_CID,              "R7143-11.12.7-01",   INITIATOR, SEEN_ALL, CONN, "a login has one CID") \
    X(LOGIN_TSIH_I,           "R7143-11.12.6-03",   INITIATOR, SEEN_ALL, CONN, "a login's requests have one TSIH") \
    X(LOGIN_VERSION,          "R7143-11.12.4-01",   INITIATOR, SEEN_ALL, CONN, "Version-min is 0") \
    X(LOGIN_VERSION_MAX_I,    "R7143-11.12.4.1-01", INITIATOR, SEEN_ALL, CONN, "Version-max stays the same in a login's requests") \
    X(LOGIN_VERSION_MIN_I,    "R7143-11.12.4.2-01", INITIATOR, SEEN_ALL, CONN, "Version-min stays the same in a login's requests") \
    X(LOGIN_VERSION_MAX_T,    "R7143-11.13.1-01",   TARGET,    SEEN_ALL, CONN, "Version-max stays the same in a login's responses") \
    X(LOGIN_VERSION_ACTIVE,   "R7143-11.13.2-01",   TARGET,    SEEN_ALL, CONN, "Version-active stays the same in a login's responses") \
    X(LOGIN_CMD_SN,           "R7143-11.12.8-02",   INITIATOR, SEEN_ALL, CONN, "a leading login's requests have one CmdSN") \
    X(LOGIN_EXP_STAT_SN,      "R7143-11.12.9-01",   INITIATOR, SEEN_ALL, CONN, "Login Requests acknowledge Login Responses that were sent") \
    X(ISID_TYPE,              "R7143-11.12.5-01",   INITIATOR, SEEN_ALL, PDU,  "ISID type 3 is reserved") \
    X(LOGIN_T_AND_C_I,        "R7143-11.12.2-01",   INITIATOR, SEEN_ALL, PDU,  "a Login Request with C has no T") \
    X(LOGIN_T_AND_C_T,        "R7143-11.13.7-01",   TARGET,    SEEN_ALL, CONN, "a Login Response with C has no T") \
    X(LOGIN_STAGE_I,          "R7143-6.3-18",       INITIATOR, SEEN_ALL, CONN, "stages follow the legal transitions") \
    X(LOGIN_STAGE_T,          "R7143-6.3-18",       TARGET,    SEEN_ALL, CONN, "stages follow the legal transitions") \
    X(LOGIN_STAGE_AGREED,     "R7143-6-02",         TARGET,    SEEN_ALL, CONN, "a response is in the stage of its request") \
    X(TRANSIT_UNASKED,        "R7143-11.13.6-02",   TARGET,    SEEN_ALL, CONN, "T answers T") \
    X(NSG_BEYOND,             "R7143-6.3-14",       TARGET,    SEEN_ALL, CONN, "NSG is not beyond the one asked for") \
    X(TRANSIT_OPEN_KEY,       "R7143-11.13.6-01",   TARGET,    SEEN_ALL, CONN, "no key of a response with T needs an answer") \
    X(EMPTY_REQUEST,          "R7143-6.2-04",       INITIATOR, SEEN_ALL, CONN, "a response with C is answered by an empty request") \
    X(EMPTY_RESPONSE,         "R7143-6.2-03",       TARGET,    SEEN_ALL, CONN, "a request with C is answered by an empty response") \
    X(INITIATOR_NAME_FIRST,   "R7143-6.3-05",       INITIATOR, SEEN_ALL, CONN, "the first request has InitiatorName") \
    X(TARGET_NAME_FIRST,      "R7143-6.3-07",       INITIATOR, SEEN_ALL, CONN, "the first request has TargetName, but for discovery") \
    X(PORTAL_GROUP_TAG_FIRST, "R7143-6.3.1-10",     TARGET,    SEEN_ALL, CONN, "the first response to a whole text has TargetPortalGroupTag") \
    X(TSIH_EARLY,             "R7143-11.13.3-01",   TARGET,    SEEN_ALL, CONN, "a new TSIH comes in the final response only") \
    X(TSIH_ECHO,              "R7143-11.13.3-02",   TARGET,    SEEN_ALL, CONN, "responses should repeat the request's TSIH") \
    X(TSIH_ZERO,              "R7143-4.4.3-03",     TARGET,    SEEN_ALL, CONN, "a new session gets a TSIH other than 0") \
    X(TSIH_OTHER,             "R7143-4.4.3-04",     TARGET,    SEEN_ALL, CONN, "a session keeps its TSIH") \
    X(STATUS_REDIRECT,        "R7143-11.13.5-06",   TARGET,    SEEN_ALL, PDU,  "redirections are 0x0101 and 0x0102") \
    X(REDIRECT_ADDRESS,       "R7143-11.13.5-02",   TARGET,    SEEN_ALL, CONN, "a redirection has a TargetAddress") \
    X(STATUS_TARGET,          "R7143-11.13.5-13",   TARGET,    SEEN_ALL, PDU,  "target faults are 0x0300 to 0x0302") \
    X(STATUS_MISSING,         "R7143-11.13.5-10",   TARGET,    SEEN_ALL, CONN, "missing names are answered 0x0207") \
    X(STATUS_NAMES,           "R7143-6.3-08",       TARGET,    SEEN_ALL, CONN, "a login without a mandatory name is refused") \
    X(STAT_SN_LOGIN,          "R7143-11.13.4-01",   TARGET,    SEEN_ALL, CONN, "StatSN counts from the first Login Response on") \
    X(MAX_CONNECTIONS,        "R7143-11.13.5-09",   TARGET,    SEEN_ALL, SESSION, "connections beyond MaxConnections are refused") \
    X(CHAP_A_I,               "R7143-12.1-02",      INITIATOR, SEEN_ALL, CONN, "CHAP begins with CHAP_A as soon as it is agreed") \
    X(CHAP_MD5,               "R7143-12.1.3-10",    INITIATOR, SEEN_ALL, CONN, "algorithm 5 is always offered") \
    X(CHAP_C_T,               "R7143-12.1.3-02",    TARGET,    SEEN_ALL, CONN, "CHAP_A is answered by CHAP_A, CHAP_I and CHAP_C") \
    X(CHAP_R_I,               "R7143-12.1.3-03",    INITIATOR, SEEN_ALL, CONN, "a challenge is answered by CHAP_N and CHAP_R, and CHAP_I with CHAP_C") \
    X(CHAP_R_T,               "R7143-12.1.3-05",    TARGET,    SEEN_ALL, CONN, "the initiator's challenge is answered by CHAP_N and CHAP_R") \
    X(CHAP_LENGTH_I,          "R7143-12.1.3-07",    INITIATOR, SEEN_ALL, CONN, "CHAP_C and CHAP_R are at most 1024 bytes") \
    X(CHAP_LENGTH_T,          "R7143-12.1.3-07",    TARGET,    SEEN_ALL, CONN, "CHAP_C and CHAP_R are at most 1024 bytes") \
    X(CHAP_SAME_CHALLENGE,    "R7143-9.2.1-11",     INITIATOR, SEEN_ALL, CONN, "the target's challenge is not sent back")

/* Text: form, keys, values, answers. */
#define REFEREE_RULES_KEYS(X) \
    X(PAIR_NUL_I,            "R7143-6.1-02",    INITIATOR, SEEN_ALL, CONN, "each pair ends with a NUL") \
    X(PAIR_NUL_T,            "R7143-6.1-02",    TARGET,    SEEN_ALL, CONN, "each pair ends with a NUL") \
    X(PAIR_EQUAL_I,          "R7143-6.1-04",    INITIATOR, SEEN_ALL, CONN, "a pair has a '='") \
    X(PAIR_EQUAL_T,          "R7143-6.1-04",    TARGET,    SEEN_ALL, CONN, "a pair has a '='") \
    X(KEY_CAPITAL_I,         "R7143-6.1-05",    INITIATOR, SEEN_ALL, CONN, "a key name is a standard-label with a capital first") \
    X(KEY_CAPITAL_T,         "R7143-6.1-05",    TARGET,    SEEN_ALL, CONN, "a key name is a standard-label with a capital first") \
    X(KEY_LENGTH_I,          "R7143-6.1-06",    INITIATOR, SEEN_ALL, CONN, "a key name has 1 to 63 characters") \
    X(KEY_LENGTH_T,          "R7143-6.1-06",    TARGET,    SEEN_ALL, CONN, "a key name has 1 to 63 characters") \
    X(BOOLEAN_I,             "R7143-6.1-08",    INITIATOR, SEEN_ALL, CONN, "booleans are Yes or No") \
    X(BOOLEAN_T,             "R7143-6.1-08",    TARGET,    SEEN_ALL, CONN, "booleans are Yes or No") \
    X(NUMBER_I,              "R7143-6.1-09",    INITIATOR, SEEN_ALL, CONN, "numbers have no leading zeros") \
    X(NUMBER_T,              "R7143-6.1-09",    TARGET,    SEEN_ALL, CONN, "numbers have no leading zeros") \
    X(VALUE_LENGTH_I,        "R7143-6.1-14",    INITIATOR, SEEN_ALL, CONN, "simple values are at most 255 bytes") \
    X(VALUE_LENGTH_T,        "R7143-6.1-14",    TARGET,    SEEN_ALL, CONN, "simple values are at most 255 bytes") \
    X(RESERVED_WORD_I,       "R7143-6.2-16",    INITIATOR, SEEN_ALL, CONN, "NotUnderstood, Reject and Irrelevant are answers only") \
    X(RESERVED_WORD_T,       "R7143-6.2-16",    TARGET,    SEEN_ALL, CONN, "NotUnderstood, Reject and Irrelevant are answers only") \
    X(UNDERSTOOD_I,          "R7143-6.2-19",    INITIATOR, SEEN_ALL, CONN, "a key of RFC 7143 is not answered NotUnderstood") \
    X(UNDERSTOOD_T,          "R7143-6.2-19",    TARGET,    SEEN_ALL, CONN, "a key of RFC 7143 is not answered NotUnderstood") \
    X(UNKNOWN_ANSWER_I,      "R7143-6.2-12",    INITIATOR, SEEN_ALL, CONN, "an unknown key is answered") \
    X(UNKNOWN_ANSWER_T,      "R7143-6.2-12",    TARGET,    SEEN_ALL, CONN, "an unknown key is answered") \
    X(NO_ANSWER_I,           "R7143-6.2.2-01",  INITIATOR, SEEN_ALL, CONN, "a number proposed is answered") \
    X(NO_ANSWER_T,           "R7143-6.2.2-01",  TARGET,    SEEN_ALL, CONN, "a number proposed is answered") \
    X(NO_ANSWER_LIST_I,      "R7143-6.2.1-01",  INITIATOR, SEEN_ALL, CONN, "a list proposed is answered") \
    X(NO_ANSWER_LIST_T,      "R7143-6.2.1-01",  TARGET,    SEEN_ALL, CONN, "a list proposed is answered") \
    X(NO_ANSWER_BOOLEAN_I,   "R7143-6.2.2-06",  INITIATOR, SEEN_ALL, CONN, "a boolean that does not settle itself is answered") \
    X(NO_ANSWER_BOOLEAN_T,   "R7143-6.2.2-06",  TARGET,    SEEN_ALL, CONN, "a boolean that does not settle itself is answered") \
    X(NOT_OFFERED_I,         "R7143-6.2.1-05",  INITIATOR, SEEN_ALL, CONN, "a choice is one that was offered") \
    X(NOT_OFFERED_T,         "R7143-6.2.1-05",  TARGET,    SEEN_ALL, CONN, "a choice is one that was offered") \
    X(NONE_NOT_OFFERED_I,    "R7143-6.2.1-02",  INITIATOR, SEEN_ALL, CONN, "None is chosen only if it was offered") \
    X(NONE_NOT_OFFERED_T,    "R7143-6.2.1-02",  TARGET,    SEEN_ALL, CONN, "None is chosen only if it was offered") \
    X(NUMBER_RESULT_I,       "R7143-13-05",     INITIATOR, SEEN_ALL, CONN, "an answer keeps to its key's minimum or maximum") \
    X(NUMBER_RESULT_T,       "R7143-13-05",     TARGET,    SEEN_ALL, CONN, "an answer keeps to its key's minimum or maximum") \
    X(BOOLEAN_RESULT_I,      "R7143-13-06",     INITIATOR, SEEN_ALL, CONN, "No settles AND, Yes settles OR") \
    X(BOOLEAN_RESULT_T,      "R7143-13-06",     TARGET,    SEEN_ALL, CONN, "No settles AND, Yes settles OR") \
    X(KEY_PLACE_I,           "R7143-6.3-13",    INITIATOR, SEEN_ALL, CONN, "a key comes in its stage and from its side") \
    X(KEY_PLACE_T,           "R7143-6.3-13",    TARGET,    SEEN_ALL, CONN, "a key comes in its stage and from its side") \
    X(KEY_SECURITY_I,        "R7143-12-01",     INITIATOR, SEEN_ALL, CONN, "the security stage has its own keys") \
    X(KEY_SECURITY_T,        "R7143-12-01",     TARGET,    SEEN_ALL, CONN, "the security stage has its own keys") \
    X(KEY_FULL_I,            "R7143-13-02",     INITIATOR, SEEN_ALL, CONN, "login keys stay in the login") \
    X(KEY_FULL_T,            "R7143-13-02",     TARGET,    SEEN_ALL, CONN, "login keys stay in the login") \
    X(KEY_TWICE_I,           "R7143-6.3-20",    INITIATOR, SEEN_ALL, CONN, "a key should come once in a login") \
    X(KEY_TWICE_T,           "R7143-6.3-20",    TARGET,    SEEN_ALL, CONN, "a key should come once in a login") \
    X(KEY_TWICE_TEXT_I,      "R7143-6.4-11",    INITIATOR, SEEN_ALL, CONN, "a key should come once in a text negotiation") \
    X(KEY_TWICE_TEXT_T,      "R7143-6.4-11",    TARGET,    SEEN_ALL, CONN, "a key should come once in a text negotiation") \
    X(INITIATOR_NAME_TWICE,  "R7143-13.5-02",   INITIATOR, SEEN_ALL, CONN, "InitiatorName comes once in a login") \
    X(TARGET_NAME_TWICE,     "R7143-13.4-03",   INITIATOR, SEEN_ALL, CONN, "TargetName comes once in a login") \
    X(TARGET_NAME_T,         "R7143-13.4-02",   TARGET,    SEEN_ALL, CONN, "a target sends TargetName only for SendTargets") \
    X(NODE_ARCHITECTURE_I,   "R7143-13.26.1-01", INITIATOR, SEEN_ALL, CONN, "X#NodeArchitecture is at most 255 bytes and of the leading login") \
    X(NODE_ARCHITECTURE_T,   "R7143-13.26.1-01", TARGET,   SEEN_ALL, CONN, "X#NodeArchitecture is at most 255 bytes and of the leading login") \
    X(NODE_ARCHITECTURE_TWICE_I, "R7143-13.26.1-02", INITIATOR, SEEN_ALL, CONN, "X#NodeArchitecture comes once") \
    X(NODE_ARCHITECTURE_TWICE_T, "R7143-13.26.1-02", TARGET, SEEN_ALL, CONN, "X#NodeArchitecture comes once") \
    X(SESSION_TYPE,          "R7143-13.21-01",  INITIATOR, SEEN_ALL, CONN, "SessionType is Discovery or Normal, in the leading login") \
    X(SESSION_TYPE_FIRST,    "R7143-13.21-04",  INITIATOR, SEEN_ALL, CONN, "SessionType=Discovery should be in the first request") \
    X(PORTAL_GROUP_TAG,      "R7143-13.9-01",   TARGET,    SEEN_ALL, CONN, "TargetPortalGroupTag is a 16-bit number") \
    X(ADDRESS,               "R7143-13.8-01",   TARGET,    SEEN_ALL, CONN, "TargetAddress is host[:port][,tag]") \
    X(ADDRESS_REDIRECT_TAG,  "R7143-13.8-03",   TARGET,    SEEN_ALL, CONN, "the address of a redirection has no portal group tag") \
    X(ADDRESS_TAG,           "R7143-13.8-04",   TARGET,    SEEN_ALL, CONN, "an address for SendTargets has a portal group tag") \
    X(NAME_FORM_I,           "R7143-4.2.7.3-01", INITIATOR, SEEN_ALL, CONN, "a name begins with iqn., eui. or naa.") \
    X(NAME_FORM_T,           "R7143-4.2.7.3-01", TARGET,   SEEN_ALL, CONN, "a name begins with iqn., eui. or naa.") \
    X(NAME_LENGTH_I,         "R7143-4.2.7.2-04", INITIATOR, SEEN_ALL, CONN, "a name is at most 223 bytes") \
    X(NAME_LENGTH_T,         "R7143-4.2.7.2-04", TARGET,   SEEN_ALL, CONN, "a name is at most 223 bytes") \
    X(NAME_IQN_I,            "R7143-4.2.7.4-01", INITIATOR, SEEN_ALL, CONN, "an iqn name is iqn.yyyy-mm.domain[:text] in its normalised form") \
    X(NAME_IQN_T,            "R7143-4.2.7.4-01", TARGET,   SEEN_ALL, CONN, "an iqn name is iqn.yyyy-mm.domain[:text] in its normalised form") \
    X(NAME_EUI_I,            "R7143-4.2.7.5-01", INITIATOR, SEEN_ALL, CONN, "an eui name has 16 hexadecimal digits") \
    X(NAME_EUI_T,            "R7143-4.2.7.5-01", TARGET,   SEEN_ALL, CONN, "an eui name has 16 hexadecimal digits") \
    X(NAME_NAA_I,            "R7143-4.2.7.6-01", INITIATOR, SEEN_ALL, CONN, "an naa name has 16 or 32 hexadecimal digits") \
    X(NAME_NAA_T,            "R7143-4.2.7.6-01", TARGET,   SEEN_ALL, CONN, "an naa name has 16 or 32 hexadecimal digits") \
    X(DIGEST_EXTENSION_I,    "R7143-13.1-09",   INITIATOR, SEEN_ALL, CONN, "an offer of extension digests has CRC32C and no None") \
    X(DIGEST_EXTENSION_T,    "R7143-13.1-09",   TARGET,    SEEN_ALL, CONN, "an offer of extension digests has CRC32C and no None") \
    X(DIGEST_NAME_I,         "R7143-13.1-10",   INITIATOR, SEEN_ALL, CONN, "no digest is named Y#") \
    X(DIGEST_NAME_T,         "R7143-13.1-10",   TARGET,    SEEN_ALL, CONN, "no digest is named Y#") \
    X(AUTH_EXTENSION_I,      "R7143-12.1-07",   INITIATOR, SEEN_ALL, CONN, "an offer of extension methods has CHAP and no None") \
    X(AUTH_EXTENSION_T,      "R7143-12.1-07",   TARGET,    SEEN_ALL, CONN, "an offer of extension methods has CHAP and no None") \
    X(AUTH_NAME_I,           "R7143-12.1-08",   INITIATOR, SEEN_ALL, CONN, "no method is named Z#") \
    X(AUTH_NAME_T,           "R7143-12.1-08",   TARGET,    SEEN_ALL, CONN, "no method is named Z#") \
    X(VENDOR_KEY_I,          "R7143-13.22-02",  INITIATOR, SEEN_ALL, CONN, "vendor keys are for Normal sessions") \
    X(VENDOR_KEY_T,          "R7143-13.22-02",  TARGET,    SEEN_ALL, CONN, "vendor keys are for Normal sessions") \
    X(TASK_REPORTING_OFFER_I, "R7143-13.23-02", INITIATOR, SEEN_ALL, CONN, "an offer of TaskReporting has RFC3720 and ResponseFence") \
    X(TASK_REPORTING_OFFER_T, "R7143-13.23-02", TARGET,    SEEN_ALL, CONN, "an offer of TaskReporting has RFC3720 and ResponseFence") \
    X(DISCOVERY_LEVEL_I,     "R7143-7.4.1-01",  INITIATOR, SEEN_ALL, CONN, "discovery sessions answer ErrorRecoveryLevel 0") \
    X(DISCOVERY_LEVEL_T,     "R7143-7.4.1-01",  TARGET,    SEEN_ALL, CONN, "discovery sessions answer ErrorRecoveryLevel 0") \
    X(MARKER_UNDERSTOOD_I,   "R7143-13.25-03",  INITIATOR, SEEN_ALL, CONN, "IFMarker and OFMarker are not answered NotUnderstood") \
    X(MARKER_UNDERSTOOD_T,   "R7143-13.25-03",  TARGET,    SEEN_ALL, CONN, "IFMarker and OFMarker are not answered NotUnderstood") \
    X(MARK_INT_UNDERSTOOD_I, "R7143-13.25-05",  INITIATOR, SEEN_ALL, CONN, "IFMarkInt and OFMarkInt are not answered NotUnderstood") \
    X(MARK_INT_UNDERSTOOD_T, "R7143-13.25-05",  TARGET,    SEEN_ALL, CONN, "IFMarkInt and OFMarkInt are not answered NotUnderstood") \
    X(MARK_INT_REJECT_I,     "R7143-13.25-04",  INITIATOR, SEEN_ALL, CONN, "IFMarkInt and OFMarkInt are answered Reject") \
    X(MARK_INT_REJECT_T,     "R7143-13.25-04",  TARGET,    SEEN_ALL, CONN, "IFMarkInt and OFMarkInt are answered Reject") \
    X(RANGE_MAX_RECV_I,      "R7143-13.12-01",  INITIATOR, SEEN_ALL, CONN, "MaxRecvDataSegmentLength is 512 to 2^24-1") \
    X(RANGE_MAX_RECV_T,      "R7143-13.12-01",  TARGET,    SEEN_ALL, CONN, "MaxRecvDataSegmentLength is 512 to 2^24-1") \
    X(RANGE_MAX_BURST_I,     "R7143-13.13-01",  INITIATOR, SEEN_ALL, CONN, "MaxBurstLength is 512 to 2^24-1 and of the leading login") \
    X(RANGE_MAX_BURST_T,     "R7143-13.13-01",  TARGET,    SEEN_ALL, CONN, "MaxBurstLength is 512 to 2^24-1 and of the leading login") \
    X(RANGE_FIRST_BURST_I,   "R7143-13.14-01",  INITIATOR, SEEN_ALL, CONN, "FirstBurstLength is 512 to 2^24-1 and of the leading login") \
    X(RANGE_FIRST_BURST_T,   "R7143-13.14-01",  TARGET,    SEEN_ALL, CONN, "FirstBurstLength is 512 to 2^24-1 and of the leading login") \
    X(RANGE_TIME2WAIT_I,     "R7143-13.15-01",  INITIATOR, SEEN_ALL, CONN, "DefaultTime2Wait is 0 to 3600 and of the leading login") \
    X(RANGE_TIME2WAIT_T,     "R7143-13.15-01",  TARGET,    SEEN_ALL, CONN, "DefaultTime2Wait is 0 to 3600 and of the leading login") \
    X(RANGE_TIME2RETAIN_I,   "R7143-13.16-01",  INITIATOR, SEEN_ALL, CONN, "DefaultTime2Retain is 0 to 3600 and of the leading login") \
    X(RANGE_TIME2RETAIN_T,   "R7143-13.16-01",  TARGET,    SEEN_ALL, CONN, "DefaultTime2Retain is 0 to 3600 and of the leading login") \
    X(RANGE_OUTSTANDING_I,   "R7143-13.17-01",  INITIATOR, SEEN_ALL, CONN, "MaxOutstandingR2T is 1 to 65535 and of the leading login") \
    X(RANGE_OUTSTANDING_T,   "R7143-13.17-01",  TARGET,    SEEN_ALL, CONN, "MaxOutstandingR2T is 1 to 65535 and of the leading login") \
    X(RANGE_CONNECTIONS_I,   "R7143-13.2-01",   INITIATOR, SEEN_ALL, CONN, "MaxConnections is 1 to 65535 and of the leading login") \
    X(RANGE_CONNECTIONS_T,   "R7143-13.2-01",   TARGET,    SEEN_ALL, CONN, "MaxConnections is 1 to 65535 and of the leading login") \
    X(RANGE_LEVEL_I,         "R7143-13.20-01",  INITIATOR, SEEN_ALL, CONN, "ErrorRecoveryLevel is 0 to 2 and of the leading login") \
    X(RANGE_LEVEL_T,         "R7143-13.20-01",  TARGET,    SEEN_ALL, CONN, "ErrorRecoveryLevel is 0 to 2 and of the leading login") \
    X(RANGE_PROTOCOL_I,      "R7144-7.1.1-01",  INITIATOR, SEEN_ALL, CONN, "iSCSIProtocolLevel is 0 to 31 and of the leading login") \
    X(RANGE_PROTOCOL_T,      "R7144-7.1.1-01",  TARGET,    SEEN_ALL, CONN, "iSCSIProtocolLevel is 0 to 31 and of the leading login") \
    X(LEADING_INITIAL_R2T,   "R7143-13.10-01",  INITIATOR, SEEN_ALL, CONN, "InitialR2T is of the leading login") \
    X(LEADING_IMMEDIATE,     "R7143-13.11-01",  INITIATOR, SEEN_ALL, CONN, "ImmediateData is of the leading login") \
    X(LEADING_PDU_ORDER,     "R7143-13.18-01",  INITIATOR, SEEN_ALL, CONN, "DataPDUInOrder is of the leading login") \
    X(LEADING_SEQUENCE_ORDER, "R7143-13.19-01", INITIATOR, SEEN_ALL, CONN, "DataSequenceInOrder is of the leading login") \
    X(LEADING_REPORTING,     "R7143-13.23-01",  INITIATOR, SEEN_ALL, CONN, "TaskReporting is of the leading login") \
    X(SEND_TARGETS_PHASE,    "R7143-13.3-01",   INITIATOR, SEEN_ALL, CONN, "SendTargets belongs to the full feature phase") \
    X(SEND_TARGETS_ALONE,    "R7143-C-06",      INITIATOR, SEEN_ALL, CONN, "SendTargets is alone in its request") \
    X(SEND_TARGETS_ALL,      "R7143-C-08",      TARGET,    SEEN_ALL, SESSION, "SendTargets=All is not for Normal sessions") \
    X(SEND_TARGETS_EMPTY,    "R7143-C-11",      TARGET,    SEEN_ALL, SESSION, "SendTargets without a name shows the session's target only") \
    X(RECORD_ORDER,          "R7143-C-12",      TARGET,    SEEN_ALL, CONN, "a record begins with TargetName") \
    X(RECORD_KEYS,           "R7143-C-12",      TARGET,    SEEN_ALL, CONN, "records have TargetName and TargetAddress only")

/* Numbers: CmdSN, StatSN and their windows. */
#define REFEREE_RULES_NUMBERS(X) \
    X(CMD_SN_IMMEDIATE,    "R7143-4.2.2.1-01", INITIATOR, SEEN_ALL, SESSION, "an immediate request has the current CmdSN") \
    X(CMD_SN_STEP,         "R7143-4.2.2.1-03", INITIATOR, SEEN_ALL, SESSION, "CmdSN grows by one for each non-immediate request") \
    X(CMD_SN_TWICE,        "R7143-4.2.2.1-21", INITIATOR, SEEN_ALL, SESSION, "a CmdSN belongs to one request, however often it is retried") \
    X(CMD_SN_ASCENDING,    "R7143-4.2.2.1-09", INITIATOR, SEEN_ALL, SESSION, "requests of a connection are in order of CmdSN") \
    X(CMD_SN_WINDOW,       "R7143-4.2.2.1-19", INITIATOR, SEEN_ALL, SESSION, "no request goes beyond MaxCmdSN") \
    X(EXP_CMD_SN,          "R7143-4.2.2.1-10", TARGET,    SEEN_ALL, SESSION, "ExpCmdSN skips no request that was not received") \
    X(EXP_CMD_SN_REJECTED, "R7143-7.3-04",     TARGET,    SEEN_ALL, SESSION, "a rejected request's CmdSN counts as not received") \
    X(MAX_CMD_SN,          "R7143-4.2.2.1-12", TARGET,    SEEN_ALL, PDU,     "MaxCmdSN is not below ExpCmdSN-1") \
    X(STATUS_BEFORE_ACK,   "R7143-4.2.2.1-24", TARGET,    SEEN_ALL, SESSION, "status does not precede the acknowledgement of its command") \
    X(EXP_STAT_SN,         "R7143-4.2.2.2-02", INITIATOR, SEEN_ALL, CONN,    "ExpStatSN acknowledges status that was sent") \
    X(LOGOUT_EXP_STAT_SN,  "R7143-11.14.4-01", INITIATOR, SEEN_ALL, SESSION, "ExpStatSN of a Logout Request is of the connection to be closed") \
    X(STAT_SN,             "R7143-11.4.9-01",  TARGET,    SEEN_ALL, CONN,    "StatSN rises by one for each response") \
    X(STAT_SN_NOP,         "R7143-11.19.2-01", TARGET,    SEEN_ALL, CONN,    "a NOP-In that answers nothing has the next StatSN") \
    X(STAT_SN_R2T,         "R7143-11.8.3-01",  TARGET,    SEEN_ALL, CONN,    "an R2T has the next StatSN") \
    X(STAT_SN_ASYNC,       "R7143-11.9-01",    TARGET,    SEEN_ALL, CONN,    "an Async Message uses up a StatSN") \
    X(STAT_SN_TEXT,        "R7143-11.11.5-01", TARGET,    SEEN_ALL, CONN,    "a Text Response uses up a StatSN") \
    X(STAT_SN_REJECT,      "R7143-11.17.3-01", TARGET,    SEEN_ALL, CONN,    "a Reject uses up a StatSN")

/* Tasks and their data. */
#define REFEREE_RULES_TASKS(X) \
    X(ITT_UNIQUE,            "R7143-11.2.1.8-01", INITIATOR, SEEN_ALL, SESSION, "a task tag is unique while its task exists") \
    X(RETRY_SAME,            "R7143-7.2.1-04",    INITIATOR, SEEN_ALL, SESSION, "a retried request is the one it was") \
    X(RETRY_CONN,            "R7143-7.2.1-05",    INITIATOR, SEEN_ALL, SESSION, "a retry goes on the first connection") \
    X(NO_REQUEST,            "R7143-4.2.5.1-01",  TARGET,    SEEN_ALL, SESSION, "a response has the tag of a request") \
    X(OTHER_CONNECTION,      "R7143-4.2.5.1-01",  TARGET,    SEEN_ALL, SESSION, "a response uses the request's connection") \
    X(OTHER_KIND,            "R7143-4.2.5.3-02",  TARGET,    SEEN_ALL, SESSION, "a response is of its request's kind") \
    X(RESPONSE_TWICE,        "R7143-4.2.5.3-02",  TARGET,    SEEN_ALL, SESSION, "a task has one response") \
    X(AFTER_ABORT,           "R7143-11.5.1-05",   TARGET,    SEEN_ALL, SESSION, "no response of an aborted task follows the TMF Response") \
    X(DISCOVERY_REJECTS,     "R7143-4.3-02",      TARGET,    SEEN_ALL, SESSION, "a discovery session takes SendTargets and Logout only") \
    X(WRITE_OR_FINAL,        "R7143-11.3.1-03",   INITIATOR, SEEN_ALL, PDU,     "at least one of W and F is 1") \
    X(DIRECTION,             "R7143-11.3.1-04",   INITIATOR, SEEN_ALL, PDU,     "an expected length has R or W") \
    X(BIDI_LENGTH,           "R7143-11.3.4-02",   INITIATOR, SEEN_ALL, PDU,     "bidirectional commands have the read length AHS") \
    X(PRIORITY,              "R7144-5.1.1-01",    INITIATOR, SEEN_ALL, SESSION, "PRI is 0 below iSCSIProtocolLevel 2") \
    X(AHS_TYPE,              "R7143-11.2.2.1-01", INITIATOR, SEEN_ALL, PDU,     "AHS types are 1 and 2") \
    X(AHS_LENGTH,            "R7143-11.2.2.2-01", INITIATOR, SEEN_ALL, PDU,     "an AHS ends inside TotalAHSLength") \
    X(AHS_CDB_SHORT,         "R7143-11.2.2.3-01", INITIATOR, SEEN_ALL, PDU,     "an extended CDB AHS is for CDBs of 17 bytes or more") \
    X(AHS_CDB_LENGTH,        "R7143-11.2.2.3-02", INITIATOR, SEEN_ALL, PDU,     "AHSLength is the CDB's length less 15") \
    X(AHS_READ_LENGTH,       "R7143-11.2.2.4-01", INITIATOR, SEEN_ALL, PDU,     "a read length AHS has AHSLength 5") \
    X(CDB_NEEDS_AHS,         "R7143-11.3.5-01",   INITIATOR, SEEN_ALL, PDU,     "CDB bytes beyond 16 are in an AHS") \
    X(DATA_WITHOUT_W,        "R7143-11.3.1-02",   INITIATOR, SEEN_ALL, PDU,     "data needs W") \
    X(NOTHING_UNSOLICITED,   "R7143-13.11-03",    INITIATOR, SEEN_ALL, SESSION, "with ImmediateData=No and InitialR2T=Yes nothing is unsolicited") \
    X(NO_IMMEDIATE,          "R7143-13.11-05",    INITIATOR, SEEN_ALL, SESSION, "with ImmediateData=No there is no immediate data") \
    X(IMMEDIATE_BURST,       "R7143-13.12-03",    INITIATOR, SEEN_ALL, SESSION, "immediate data keeps to FirstBurstLength") \
    X(IMMEDIATE_BEYOND,      "R7143-11.3.4-01",   INITIATOR, SEEN_ALL, PDU,     "immediate data keeps to the expected length") \
    X(FINAL_WHEN_WHOLE,      "R7143-11.3.4-03",   INITIATOR, SEEN_ALL, PDU,     "F is 1 when the immediate data is all") \
    X(UNSOLICITED,           "R7143-11.8-01",     INITIATOR, SEEN_ALL, SESSION, "a command announces unsolicited data with InitialR2T=No only") \
    X(UNSOLICITED_DATA,      "R7143-13.10-02",    INITIATOR, SEEN_ALL, SESSION, "unsolicited Data-Out needs InitialR2T=No") \
    X(UNSOLICITED_AFTER_F,   "R7143-11.3.1-01",   INITIATOR, SEEN_ALL, SESSION, "after F=1 no unsolicited data follows") \
    X(UNSOLICITED_LUN,       "R7143-11-02",       INITIATOR, SEEN_ALL, SESSION, "the LUN of unsolicited Data-Out is reserved") \
    X(UNSOLICITED_SHORT,     "R7143-4.2.5.2-05",  INITIATOR, SEEN_ALL, SESSION, "unsolicited data is FirstBurstLength or all there is") \
    X(UNSOLICITED_FINAL,     "R7143-11.7.1-01",   INITIATOR, SEEN_ALL, SESSION, "the last Data-Out of an unsolicited burst has F=1") \
    X(UNSOLICITED_BURST,     "R7143-11.7.1-05",   INITIATOR, SEEN_ALL, SESSION, "an unsolicited burst keeps to FirstBurstLength") \
    X(DATA_OUT_SN,           "R7143-4.2.2.4-03",  INITIATOR, SEEN_ALL, SESSION, "DataSN of Data-Out counts from 0 in each sequence") \
    X(DATA_OUT_OFFSET,       "R7143-11.7.6-02",   INITIATOR, SEEN_ALL, SESSION, "offsets in a sequence rise without overlap") \
    X(DATA_OUT_TASK,         "R7143-4.2.5.3-02",  INITIATOR, SEEN_ALL, SESSION, "Data-Out has the tag of a command") \
    X(DATA_OUT_WRITE,        "R7143-11.3.1-02",   INITIATOR, SEEN_ALL, SESSION, "Data-Out is for commands with W") \
    X(DATA_OUT_CONN,         "R7143-4.2.5.1-03",  INITIATOR, SEEN_ALL, SESSION, "write data uses the command's connection") \
    X(DATA_OUT_TTT,          "R7143-11.7.4-01",   INITIATOR, SEEN_ALL, SESSION, "solicited Data-Out has the TTT of an R2T") \
    X(DATA_OUT_LUN,          "R7143-11.7.4-04",   INITIATOR, SEEN_ALL, SESSION, "Data-Out with a TTT has the command's LUN") \
    X(DATA_OUT_FINAL,        "R7143-11.7.1-01",   INITIATOR, SEEN_ALL, SESSION, "the last Data-Out for an R2T has F=1") \
    X(DATA_OUT_MULTIPLE,     "R7143-11.7.7-02",   INITIATOR, SEEN_ALL, SESSION, "Data-Out without F should be a multiple of 4 bytes") \
    X(R2T_ANSWER_ORDER,      "R7143-11.8-07",     INITIATOR, SEEN_ALL, SESSION, "the R2Ts of a task are answered in order") \
    X(R2T_SINGLE,            "R7143-11.8-02",     INITIATOR, SEEN_ALL, SESSION, "a single Data-Out for an R2T has its length") \
    X(R2T_SHORT,             "R7143-4.2.5.2-08",  INITIATOR, SEEN_ALL, SESSION, "an R2T is answered with all that it asks for") \
    X(R2T_OUTSIDE,           "R7143-11.8-03",     INITIATOR, SEEN_ALL, SESSION, "data for an R2T stays in its range") \
    X(R2T_MORE,              "R7143-11.8-03",     INITIATOR, SEEN_ALL, SESSION, "nothing follows the last Data-Out for an R2T") \
    X(SOLICITED_OFFSET,      "R7143-11.8-05",     INITIATOR, SEEN_ALL, SESSION, "data for an R2T is contiguous and in order") \
    X(R2T_FOR_READ,          "R7143-4.2.5.3-02",  TARGET,    SEEN_ALL, SESSION, "R2Ts are for commands with W") \
    X(R2T_LUN,               "R7143-4.2.5.3-03",  TARGET,    SEEN_ALL, SESSION, "an R2T has the command's LUN") \
    X(R2T_SN,                "R7143-4.2.2.4-04",  TARGET,    SEEN_ALL, SESSION, "R2TSN counts from 0 for each command") \
    X(BIDI_SN,               "R7143-4.2.2.4-05",  TARGET,    SEEN_ALL, SESSION, "R2T and Data-In of a bidirectional command share one count") \
    X(R2T_BURST,             "R7143-11.8.4-01",   TARGET,    SEEN_ALL, SESSION, "an R2T asks for at most MaxBurstLength") \
    X(R2T_RANGE,             "R7143-11.7.6-01",   TARGET,    SEEN_ALL, SESSION, "an R2T should stay inside the expected length") \
    X(R2T_ORDER,             "R7143-11.8-10",     TARGET,    SEEN_ALL, SESSION, "consecutive R2Ts are contiguous") \
    X(R2T_OUTSTANDING,       "R7143-11.8-06",     TARGET,    SEEN_ALL, SESSION, "outstanding R2Ts keep to MaxOutstandingR2T") \
    X(DATA_IN_READ,          "R7143-4.2.5.3-02",  TARGET,    SEEN_ALL, SESSION, "Data-In is for commands with R") \
    X(DATA_IN_SN,            "R7143-4.2.2.4-02",  TARGET,    SEEN_ALL, SESSION, "DataSN of Data-In counts from 0 for each command") \
    X(DATA_IN_OFFSET,        "R7143-11.7.6-02",   TARGET,    SEEN_ALL, SESSION, "offsets in a sequence rise without overlap") \
    X(DATA_IN_SEQUENCE,      "R7143-11.7.6-03",   TARGET,    SEEN_ALL, SESSION, "sequences come in rising order") \
    X(DATA_IN_RANGE,         "R7143-11.7.6-01",   TARGET,    SEEN_ALL, SESSION, "Data-In should stay inside the expected length") \
    X(DATA_IN_BURST,         "R7143-11.7.1-04",   TARGET,    SEEN_ALL, SESSION, "a Data-In sequence keeps to MaxBurstLength") \
    X(DATA_IN_MULTIPLE,      "R7143-11.7.7-02",   TARGET,    SEEN_ALL, SESSION, "Data-In without F should be a multiple of 4 bytes") \
    X(DATA_IN_FINAL,         "R7143-11.7.1-02",   TARGET,    SEEN_ALL, SESSION, "the last Data-In of a sequence has F=1") \
    X(DATA_IN_LUN,           "R7143-11.7.4-04",   TARGET,    SEEN_ALL, SESSION, "Data-In with a TTT has the command's LUN") \
    X(A_LEVEL,               "R7143-11.7.2-03",   TARGET,    SEEN_ALL, SESSION, "A is not set at ErrorRecoveryLevel 0") \
    X(A_TTT,                 "R7143-11.7.4-03",   TARGET,    SEEN_ALL, SESSION, "Data-In with A has a TTT") \
    X(A_OFTEN,               "R7143-11.7.2-02",   TARGET,    SEEN_ALL, SESSION, "A is set once per MaxBurstLength, or at the end") \
    X(S_NEEDS_F,             "R7143-11.7.3-03",   TARGET,    SEEN_ALL, SESSION, "S implies F") \
    X(S_BIDI,                "R7143-11.7.3-02",   TARGET,    SEEN_ALL, SESSION, "bidirectional commands end with a SCSI Response") \
    X(S_ERROR,               "R7143-11.7.3-01",   TARGET,    SEEN_ALL, SESSION, "errors are not told in Data-In") \
    X(S_STATUS,              "R7143-11.7-03",     TARGET,    SEEN_ALL, SESSION, "status in Data-In is a good one") \
    X(O_AND_U_DATA,          "R7143-11.4.1-01",   TARGET,    SEEN_ALL, SESSION, "O and U exclude each other") \
    X(O_AND_U,               "R7143-11.4.1-01",   TARGET,    SEEN_ALL, PDU,     "O and U, o and u exclude each other") \
    X(RESPONSE_CODE,         "R7143-11.4.3-01",   TARGET,    SEEN_ALL, PDU,     "response codes are 0, 1 and 0x80 to 0xff") \
    X(FLAGS_WITHOUT_STATUS,  "R7143-11.4.1-03",   TARGET,    SEEN_ALL, PDU,     "residual flags need response code 0") \
    X(RESIDUAL_WITHOUT_FLAG, "R7143-11.4.5.1-03", TARGET,    SEEN_ALL, PDU,     "a residual count without flag should be 0") \
    X(STATUS_QUALIFIER,      "R7144-5.2.1-01",    TARGET,    SEEN_ALL, SESSION, "the status qualifier is 0 below iSCSIProtocolLevel 2") \
    X(SENSE_LENGTH,          "R7143-11.4.7-03",   TARGET,    SEEN_ALL, PDU,     "the data of a SCSI Response begins with its SenseLength") \
    X(SENSE_MISSING,         "R7143-11.4.7-01",   TARGET,    SEEN_ALL, PDU,     "CHECK CONDITION comes with sense data") \
    X(EXP_DATA_SN,           "R7143-11.4.8-01",   TARGET,    SEEN_ALL, SESSION, "ExpDataSN is the number of Data-In PDUs") \
    X(EXP_DATA_SN_ZERO,      "R7143-11.4.8-02",   TARGET,    SEEN_ALL, SESSION, "ExpDataSN is 0 without Data-In") \
    X(SNACK_TAG,             "R7143-11.4.4-01",   TARGET,    SEEN_ALL, SESSION, "SNACK Tag is that of the last R-Data SNACK, else 0") \
    X(UNDERFLOW,             "R7143-11.4.5.2-02", TARGET,    SEEN_ALL, SESSION, "with U the residual is what was not transferred") \
    X(OVERFLOW,              "R7143-11.4.5.2-01", TARGET,    SEEN_ALL, SESSION, "with O all of the expected length was transferred") \
    X(UNDERFLOW_MISSING,     "R7143-11.4.5.3-03", TARGET,    SEEN_ALL, SESSION, "a short read has U") \
    X(UNDERFLOW_WRITE,       "R7143-11.4.5.2-03", TARGET,    SEEN_ALL, SESSION, "a good write has taken all its data, or has U") \
    X(STATUS_EARLY,          "R7143-11.4.2-02",   TARGET,    SEEN_ALL, SESSION, "status waits for the last Data-Out that is due")

/* Task management. */
#define REFEREE_RULES_MANAGE(X) \
    X(TMF_FUNCTION,        "R7143-11.5.1-01",   INITIATOR, SEEN_ALL, PDU,     "functions are 1 to 12") \
    X(TMF_LEVEL,           "R7144-6.3-01",      INITIATOR, SEEN_ALL, SESSION, "functions 9 to 12 need iSCSIProtocolLevel 2") \
    X(TMF_LUN,             "R7143-11.5.3-01",   INITIATOR, SEEN_ALL, PDU,     "LUN is reserved in functions 6 to 8") \
    X(TMF_LUN_NEW,         "R7144-6.3.1-01",    INITIATOR, SEEN_ALL, PDU,     "LUN is reserved in I_T NEXUS RESET") \
    X(TMF_TAG,             "R7143-11.5.4-01",   INITIATOR, SEEN_ALL, PDU,     "the Referenced Task Tag is for ABORT TASK and TASK REASSIGN") \
    X(TMF_TAG_NEW,         "R7144-6.3.2-01",    INITIATOR, SEEN_ALL, PDU,     "of the new functions only QUERY TASK has a Referenced Task Tag") \
    X(TMF_REF_ZERO,        "R7143-11.5.5-02",   INITIATOR, SEEN_ALL, PDU,     "RefCmdSN is 0 but for ABORT TASK") \
    X(TMF_EXP_DATA_SN,     "R7143-11.5.6-06",   INITIATOR, SEEN_ALL, PDU,     "ExpDataSN is 0 but for TASK REASSIGN") \
    X(ABORT_REF,           "R7143-11.5.1-13",   INITIATOR, SEEN_ALL, SESSION, "RefCmdSN of ABORT TASK is the command's CmdSN") \
    X(ABORT_REF_IMMEDIATE, "R7143-11.5.1-12",   INITIATOR, SEEN_ALL, SESSION, "RefCmdSN for an immediate command is the TMF's CmdSN") \
    X(ABORT_CONN,          "R7143-11.5.1-14",   INITIATOR, SEEN_ALL, SESSION, "ABORT TASK uses the task's connection") \
    X(QUERY_REF,           "R7144-6.3-05",      INITIATOR, SEEN_ALL, SESSION, "RefCmdSN of QUERY TASK is the task's") \
    X(QUERY_CONN,          "R7144-6.3-06",      INITIATOR, SEEN_ALL, SESSION, "QUERY TASK uses the task's connection") \
    X(REASSIGN_IMMEDIATE,  "R7143-11.5.1-25",   INITIATOR, SEEN_ALL, PDU,     "TASK REASSIGN is immediate") \
    X(REASSIGN_LOGOUT,     "R7143-11.5.1-22",   INITIATOR, SEEN_ALL, SESSION, "TASK REASSIGN follows the logout of the old connection") \
    X(TMF_CODE,            "R7143-11.6.1-01",   TARGET,    SEEN_ALL, SESSION, "TMF response codes are 0 to 6 and 255, at level 2 also 7") \
    X(TMF_ADDITIONAL,      "R7144-6.4.1-02",    TARGET,    SEEN_ALL, SESSION, "Additional Response Information is 0 below level 2") \
    X(ABORT_TMF,           "R7143-11.5.1-16",   TARGET,    SEEN_ALL, SESSION, "ABORT TASK of a TMF is answered 255") \
    X(QUERY_TMF,           "R7144-6.3-08",      TARGET,    SEEN_ALL, SESSION, "QUERY TASK of a TMF is answered 255") \
    X(REASSIGN_TMF,        "R7143-11.5.1-24",   TARGET,    SEEN_ALL, SESSION, "TASK REASSIGN of a TMF is answered 255") \
    X(REASSIGN_LEVEL,      "R7143-7.2.2-09",    TARGET,    SEEN_ALL, SESSION, "TASK REASSIGN below ErrorRecoveryLevel 2 is answered 4")

/* NOP, Text, Logout, Async Message, Reject, SNACK. */
#define REFEREE_RULES_CONTROL(X) \
    X(NOP_OUT_IMMEDIATE,   "R7143-11.18.1-03",  INITIATOR, SEEN_ALL, PDU,     "a NOP-Out without a tag is immediate") \
    X(NOP_OUT_TTT,         "R7143-11.18.2-01",  INITIATOR, SEEN_ALL, CONN,    "a NOP-Out has the TTT of a NOP-In that asked") \
    X(NOP_OUT_LUN,         "R7143-11.18.2-02",  INITIATOR, SEEN_ALL, CONN,    "a NOP-Out with a TTT has the NOP-In's LUN") \
    X(NOP_IN_TTT,          "R7143-11.19-03",    TARGET,    SEEN_ALL, SESSION, "a NOP-In that answers has no TTT") \
    X(NOP_IN_DATA,         "R7143-11.19-02",    TARGET,    SEEN_ALL, SESSION, "a NOP-In returns the ping's data") \
    X(NOP_IN_NO_DATA,      "R7143-11.19-05",    TARGET,    SEEN_ALL, PDU,     "a NOP-In that answers nothing has no data") \
    X(TEXT_OUTSTANDING_I,  "R7143-11.10-01",    INITIATOR, SEEN_ALL, CONN,    "one Text Request is outstanding at a time") \
    X(TEXT_OUTSTANDING_T,  "R7143-6.2-07",      TARGET,    SEEN_ALL, CONN,    "each Text Response answers a Text Request") \
    X(TEXT_F_AND_C_I,      "R7143-11.10.2-01",  INITIATOR, SEEN_ALL, PDU,     "a Text Request with C has no F") \
    X(TEXT_F_AND_C_T,      "R7143-11.11.2-01",  TARGET,    SEEN_ALL, CONN,    "a Text Response with C has no F") \
    X(TEXT_CONTINUE,       "R7143-11.11.4-01",  INITIATOR, SEEN_ALL, CONN,    "a text goes on with the response's TTT and LUN") \
    X(TEXT_ITT_I,          "R7143-6.4-02",      INITIATOR, SEEN_ALL, CONN,    "a text negotiation has one task tag") \
    X(TEXT_ITT_T,          "R7143-11.11.3-01",  TARGET,    SEEN_ALL, CONN,    "a Text Response has the request's tag") \
    X(TEXT_IMMEDIATE,      "R7143-11.10.3-01",  INITIATOR, SEEN_ALL, CONN,    "all requests of a text have the same I bit") \
    X(TEXT_FINAL_TTT,      "R7143-11.11.1-04",  TARGET,    SEEN_ALL, CONN,    "a final Text Response has no TTT") \
    X(TEXT_MORE_TTT,       "R7143-11.11.1-05",  TARGET,    SEEN_ALL, CONN,    "a Text Response without F has a TTT") \
    X(TEXT_FINAL_UNASKED,  "R7143-11.11.1-01",  TARGET,    SEEN_ALL, CONN,    "F answers F") \
    X(TEXT_OPEN_KEY,       "R7143-11.11.1-03",  TARGET,    SEEN_ALL, CONN,    "no key of a final Text Response needs an answer") \
    X(EMPTY_TEXT_I,        "R7143-6.2-04",      INITIATOR, SEEN_ALL, CONN,    "a Text Response with C is answered by an empty request") \
    X(EMPTY_TEXT_T,        "R7143-6.2-03",      TARGET,    SEEN_ALL, CONN,    "a Text Request with C is answered by an empty response") \
    X(REQUEST_AFTER_LOGOUT, "R7143-11.14-01",   INITIATOR, SEEN_ALL, SESSION, "no request follows a Logout Request") \
    X(AFTER_LOGOUT,        "R7143-11.14-05",    TARGET,    SEEN_ALL, CONN,    "nothing follows a Logout Response") \
    X(LOGOUT_REASON,       "R7143-11.9.1-03",   INITIATOR, SEEN_I,   SESSION, "a requested logout closes the connection or session") \
    X(LOGOUT_CID,          "R7143-11.15.1-01",  TARGET,    SEEN_ALL, SESSION, "a logout of an unknown CID is answered 1") \
    X(LOGOUT_RECOVERY,     "R7143-11.15.1-02",  TARGET,    SEEN_ALL, SESSION, "a recovery logout below ErrorRecoveryLevel 2 is answered 2") \
    X(ASYNC_SENSE_LENGTH,  "R7143-11.9.4-02",   TARGET,    SEEN_ALL, PDU,     "the data of an Async Message begins with its SenseLength") \
    X(ASYNC_SENSE,         "R7143-11.9.1-15",   TARGET,    SEEN_ALL, PDU,     "event 0 has sense data") \
    X(ASYNC_LOGOUT,        "R7143-11.9.1-16",   TARGET,    SEEN_ALL, PDU,     "event 1 has Parameter3 only") \
    X(ASYNC_DROP_ALL,      "R7143-11.9.1-17",   TARGET,    SEEN_ALL, PDU,     "event 3 has no Parameter1") \
    X(ASYNC_FAST_ABORT,    "R7143-11.9.1-14",   TARGET,    SEEN_ALL, SESSION, "event 5 needs TaskReporting=FastAbort") \
    X(ASYNC_VCODE,         "R7143-11.9.2-01",   TARGET,    SEEN_ALL, PDU,     "AsyncVCode is for vendor events") \
    X(REJECT_NEVER,        "R7143-11.17.1-02",  TARGET,    SEEN_ALL, PDU,     "reason 0x0b is never sent") \
    X(REJECT_REASON,       "R7143-11.17.1-01",  TARGET,    SEEN_ALL, PDU,     "reasons are 0x02 to 0x0a and 0x0c") \
    X(REJECT_HEADER,       "R7143-11.17.4-01",  TARGET,    SEEN_ALL, CONN,    "a Reject has the header of a PDU that was sent") \
    X(REJECT_DATA_SN,      "R7143-11.17.2-01",  TARGET,    SEEN_ALL, CONN,    "DataSN of a Reject is for SNACKs") \
    X(REJECT_TMF,          "R7144-4.1-02",      TARGET,    SEEN_ALL, SESSION, "at level 2 a new function is not rejected") \
    X(SNACK_ITT,           "R7143-11.16.4-01",  INITIATOR, SEEN_ALL, PDU,     "a SNACK has a task tag for data, else 0xffffffff") \
    X(SNACK_R_DATA_TAG,    "R7143-11.16.5-01",  INITIATOR, SEEN_ALL, PDU,     "an R-Data SNACK has a tag") \
    X(SNACK_ACK_TTT,       "R7143-11.16.5-03",  INITIATOR, SEEN_ALL, PDU,     "a DataACK has the Data-In's TTT") \
    X(SNACK_TTT,           "R7143-11.16.5-04",  INITIATOR, SEEN_ALL, PDU,     "other SNACKs have no TTT") \
    X(SNACK_BEG_RUN,       "R7143-11.16.6-01",  INITIATOR, SEEN_ALL, PDU,     "BegRun of an R-Data SNACK is 0") \
    X(SNACK_RUN_LENGTH,    "R7143-11.16.7-01",  INITIATOR, SEEN_ALL, PDU,     "RunLength of DataACK and R-Data SNACK is 0") \
    X(SNACK_LATE,          "R7143-11.16.1-02",  INITIATOR, SEEN_ALL, SESSION, "a SNACK comes before its status is acknowledged")

/* What one side owes the other (duty.c says when that is judged). */
#define REFEREE_RULES_DUTIES(X) \
    X(PING_UNANSWERED,     "R7143-11.18.1-02",  TARGET,    SEEN_ALL, SESSION, "a ping is answered before the logout") \
    X(NOP_IN_UNANSWERED,   "R7143-11.18-01",    INITIATOR, SEEN_ALL, SESSION, "a NOP-In with a TTT is answered before the logout") \
    X(TMF_UNANSWERED,      "R7143-11.5.1-02",   TARGET,    SEEN_ALL, SESSION, "a TMF that waits for nothing is answered before the logout") \
    X(QUERY_UNANSWERED,    "R7144-6.3-03",      TARGET,    SEEN_ALL, SESSION, "a query is answered before the logout") \
    X(LOGOUT_LATE,         "R7143-11.9.1-02",   INITIATOR, SEEN_I,   SESSION, "a requested logout comes within Parameter3 seconds") \
    X(TEXT_LATE,           "R7143-11.9.1-10",   INITIATOR, SEEN_I,   SESSION, "a requested negotiation begins within Parameter3 seconds") \
    X(FAST_ABORT_ACK,      "R7143-11.9.1-13",   INITIATOR, SEEN_ALL, SESSION, "event 5 is acknowledged by a NOP-Out with its LUN") \
    X(FAST_ABORT_DATA,     "R7143-4.2.3.4-03",  INITIATOR, SEEN_ALL, SESSION, "with FastAbort no data follows a TMF for its tasks") \
    X(ABORT_EARLY,         "R7143-4.2.3.3-07",  TARGET,    SEEN_ALL, SESSION, "without FastAbort functions on many tasks wait for the answers to R2Ts") \
    X(DATA_ACK_MISSING,    "R7143-11.7.2-05",   INITIATOR, SEEN_ALL, SESSION, "an A bit is answered by a DataACK") \
    X(SNACK_UNANSWERED,    "R7143-7.8-08",      TARGET,    SEEN_ALL, SESSION, "a Data SNACK is answered by data or a Reject") \
    X(STATUS_SNACK_UNANSWERED, "R7143-11.16-01", TARGET,   SEEN_ALL, SESSION, "a Status SNACK is answered by status or a Reject") \
    X(DIGEST_REJECT,       "R7143-7.8-02",      TARGET,    SEEN_T,   PDU,     "damaged data is answered by a Reject with reason 0x02") \
    X(AGAIN_STAT_SN,       "R7143-11.4.9-02",   TARGET,    SEEN_ALL, SESSION, "a response that is sent again has the StatSN it had") \
    X(AGAIN_SAME,          "R7143-11.16-02",    TARGET,    SEEN_ALL, SESSION, "a response that is sent again is the one it was") \
    X(FAST_ABORT_STOP,     "R7143-11.9.1-12",   INITIATOR, SEEN_ALL, SESSION, "no data that was asked for before an acknowledged event 5 is sent") \
    X(FENCE,               "R7143-4.2.2.3.3-02", TARGET,   SEEN_T,   SESSION, "a fenced TMF Response waits for the acknowledgement of all status") \
    X(INVALID_DURING_LOGIN, "R7143-4.2.4-06",   TARGET,    SEEN_T,   CONN,    "other PDUs in a login are answered 0x020b") \
    X(REPEAT_REFUSED,      "R7143-6.3-22",      TARGET,    SEEN_ALL, CONN,    "a key that comes twice in a login is refused") \
    X(REPEAT_REJECTED,     "R7143-6.4-12",      TARGET,    SEEN_ALL, CONN,    "a key that comes twice in a text negotiation is rejected") \
    X(VERSION_REFUSED,     "R7143-11.12.4-02",  TARGET,    SEEN_ALL, CONN,    "a login without version 0 is answered 0x0205") \
    X(CHAP_REFUSED,        "R7143-9.2-05",      TARGET,    SEEN_ALL, CONN,    "a wrong step of CHAP is refused")

/* Tasks that go on after a loss. */
#define REFEREE_RULES_RECOVERY(X) \
    X(REASSIGN_STATED,     "R7143-11.5.6-04",   INITIATOR, SEEN_ALL, SESSION, "ExpDataSN of TASK REASSIGN is 0 or of data that is not acknowledged") \
    X(REASSIGN_ALLEGIANT,  "R7143-7.2.2-10",    TARGET,    SEEN_ALL, SESSION, "TASK REASSIGN of a task that has its connection is answered 3") \
    X(REASSIGN_EARLY,      "R7143-7.2.2-11",    TARGET,    SEEN_ALL, SESSION, "a reassigned task goes on after the TMF Response") \
    X(REASSIGN_DATA,       "R7143-11.5.6-02",   TARGET,    SEEN_ALL, SESSION, "after TASK REASSIGN all data that is not acknowledged is sent") \
    X(SNACK_STATED,        "R7143-7.2.2-05",    INITIATOR, SEEN_ALL, SESSION, "no data below the ExpDataSN of TASK REASSIGN is asked for") \
    X(SNACK_ACKNOWLEDGED,  "R7143-11.16.2-03",  INITIATOR, SEEN_ALL, SESSION, "no data that is acknowledged is asked for") \
    X(DATA_ACK_LATE,       "R7143-11.7.2-06",   INITIATOR, SEEN_ALL, SESSION, "a DataACK comes before the status is acknowledged") \
    X(EMPTY_DATA_OUT,      "R7143-11.7.1-06",   INITIATOR, SEEN_ALL, SESSION, "a Data-Out should have data") \
    X(EMPTY_DATA_IN,       "R7143-11.7.1-06",   TARGET,    SEEN_ALL, SESSION, "a Data-In should have data or status") \
    X(TEXT_EMPTY,          "R7143-6.4-06",      TARGET,    SEEN_ALL, CONN,    "F=1 should not be answered by an empty F=0") \
    X(ASYNC_DROP_CID,      "R7143-11.9.1-07",   TARGET,    SEEN_ALL, SESSION, "event 2 names the only connection where there is one")

/* clang-format on */

#define REFEREE_RULES(X)                                                                                     \
    REFEREE_RULES_PDU(X)                                                                                     \
    REFEREE_RULES_LOGIN(X)                                                                                   \
    REFEREE_RULES_KEYS(X) REFEREE_RULES_NUMBERS(X) REFEREE_RULES_TASKS(X) REFEREE_RULES_MANAGE(X)            \
        REFEREE_RULES_CONTROL(X) REFEREE_RULES_DUTIES(X) REFEREE_RULES_RECOVERY(X)

#endif
