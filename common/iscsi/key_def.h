/* Every text key, in one list: RFC 7143 chapters 12 and 13, RFC 7144 (iSCSIProtocolLevel). keys.c negotiates from it;
 * the scenario language, the fuzzer's dictionary and the manual read it too.
 *
 * X(tag, name, kind, senders, use, flags, default, min, max, requirement)
 *   tag      KEY_<tag> is the key's enumerator
 *   kind     LIST     comma-separated choices; the responder picks the first it supports
 *            AND OR   booleans with that result function
 *            MIN MAX  numbers with that result function
 *            NUMBER   a declared number
 *            NAME     a declared iSCSI name
 *            LOCAL    a declared UTF-8 string (alias)
 *            CHOICE   a declared word (SessionType)
 *            TEXT     a declared text
 *            QUERY    SendTargets
 *            AUTH     a step of an authentication method: handed on to it
 *            OBSOLETE answered Reject (RFC 7143 13.25)
 *   senders  I, T or IT: initiator, target, both
 *   use      LO leading login only; IO any login; FFPO full feature phase only; ALL
 *   flags    SEC     belongs to the security stage only
 *            ANY     any stage
 *            OP      operational stage
 *            or'ed with: CO (connection scope; else session-wide), DISC (irrelevant in a discovery session), REPEAT (may
 *            come more than once), LATER (a peer may not know it: NotUnderstood is no error)
 *   default  numbers and booleans (1 = Yes); 0 else
 *   min max  legal range of numbers; for text kinds max is the longest value in bytes, for AUTH the longest encoded */
#ifndef LUNETTE_ISCSI_KEY_DEF_H
#define LUNETTE_ISCSI_KEY_DEF_H

#define KEY_FLAG_SEC    0x01u
#define KEY_FLAG_OP     0x02u
#define KEY_FLAG_ANY    0x04u
#define KEY_FLAG_CO     0x08u
#define KEY_FLAG_DISC   0x10u
#define KEY_FLAG_REPEAT 0x20u
#define KEY_FLAG_LATER  0x40u

#define KEY_DATA_LEN_MAX   0xffffffu /* 2^24 - 1 bytes: most of the length keys */
#define KEY_BINARY_LEN_MAX 1024u     /* bytes, decoded: CHAP_C, CHAP_R and the SRP values (12.1.2, 12.1.3) */
#define KEY_BINARY_TEXT_MAX (2u + 2u * KEY_BINARY_LEN_MAX) /* the same in hexadecimal, the longer encoding */
#define KEY_KRB_LEN_MAX    65536u    /* bytes, decoded: Kerberos messages (12.1.1) */
#define KEY_KRB_TEXT_MAX   (2u + 2u * KEY_KRB_LEN_MAX)

/* clang-format off */
#define KEY_LIST(X)                                                                                                                                            \
    /*tag                               name                        kind      who use   flags                                default  min  max                 requirement */ \
    X(AUTH_METHOD,                      "AuthMethod",               LIST,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1-01")   \
    X(CHAP_A,                           "CHAP_A",                   AUTH,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1.3-01") \
    X(CHAP_I,                           "CHAP_I",                   AUTH,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1.3-02") \
    X(CHAP_C,                           "CHAP_C",                   AUTH,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.3-07") \
    X(CHAP_N,                           "CHAP_N",                   AUTH,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1.3-03") \
    X(CHAP_R,                           "CHAP_R",                   AUTH,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.3-07") \
    X(KRB_AP_REQ,                       "KRB_AP_REQ",               AUTH,     I,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_KRB_TEXT_MAX,   "R7143-12.1.1-06") \
    X(KRB_AP_REP,                       "KRB_AP_REP",               AUTH,     T,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_KRB_TEXT_MAX,   "R7143-12.1.1-06") \
    X(TARGET_AUTH,                      "TargetAuth",               AUTH,     I,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1.2-01") \
    X(SRP_U,                            "SRP_U",                    AUTH,     I,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1.2-01") \
    X(SRP_GROUP,                        "SRP_GROUP",                AUTH,     IT, IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, 255,                "R7143-12.1.2-02") \
    X(SRP_A,                            "SRP_A",                    AUTH,     I,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.2-08") \
    X(SRP_B,                            "SRP_B",                    AUTH,     T,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.2-08") \
    X(SRP_M,                            "SRP_M",                    AUTH,     I,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.2-08") \
    X(SRP_HM,                           "SRP_HM",                   AUTH,     T,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.2-08") \
    X(SRP_S,                            "SRP_s",                    AUTH,     T,  IO,   KEY_FLAG_SEC | KEY_FLAG_CO,                 0,   0, KEY_BINARY_TEXT_MAX, "R7143-12.1.2-08") \
    X(SESSION_TYPE,                     "SessionType",              CHOICE,   I,  LO,   KEY_FLAG_ANY,                               0,   0, 255,                "R7143-13.21-01")  \
    X(INITIATOR_NAME,                   "InitiatorName",            NAME,     I,  IO,   KEY_FLAG_ANY,                               0,   0, 223,                "R7143-13.5-01")   \
    X(INITIATOR_ALIAS,                  "InitiatorAlias",           LOCAL,    I,  ALL,  KEY_FLAG_ANY,                               0,   0, 255,                "R7143-13.7-01")   \
    X(TARGET_NAME,                      "TargetName",               NAME,     IT, IO,   KEY_FLAG_ANY,                               0,   0, 223,                "R7143-13.4-01")   \
    X(TARGET_ALIAS,                     "TargetAlias",              LOCAL,    T,  ALL,  KEY_FLAG_ANY,                               0,   0, 255,                "R7143-13.6-01")   \
    X(TARGET_ADDRESS,                   "TargetAddress",            TEXT,     T,  ALL,  KEY_FLAG_ANY | KEY_FLAG_REPEAT,             0,   0, 255,                "R7143-13.8-01")   \
    X(TARGET_PORTAL_GROUP_TAG,          "TargetPortalGroupTag",     NUMBER,   T,  IO,   KEY_FLAG_ANY,                               0,   0, 65535,              "R7143-13.9-01")   \
    X(SEND_TARGETS,                     "SendTargets",              QUERY,    I,  FFPO, KEY_FLAG_OP,                                0,   0, 223,                "R7143-13.3-01")   \
    X(HEADER_DIGEST,                    "HeaderDigest",             LIST,     IT, IO,   KEY_FLAG_OP | KEY_FLAG_CO,                  0,   0, 255,                "R7143-13.1-01")   \
    X(DATA_DIGEST,                      "DataDigest",               LIST,     IT, IO,   KEY_FLAG_OP | KEY_FLAG_CO,                  0,   0, 255,                "R7143-13.1-01")   \
    X(DEFAULT_TIME2WAIT,                "DefaultTime2Wait",         MAX,      IT, LO,   KEY_FLAG_OP,                                2,   0, 3600,               "R7143-13.15-01")  \
    X(DEFAULT_TIME2RETAIN,              "DefaultTime2Retain",       MIN,      IT, LO,   KEY_FLAG_OP,                                20,  0, 3600,               "R7143-13.16-01")  \
    X(ERROR_RECOVERY_LEVEL,             "ErrorRecoveryLevel",       MIN,      IT, LO,   KEY_FLAG_OP,                                0,   0, 2,                  "R7143-13.20-01")  \
    X(INITIAL_R2T,                      "InitialR2T",               OR,       IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                1,   0, 1,                  "R7143-13.10-01")  \
    X(IMMEDIATE_DATA,                   "ImmediateData",            AND,      IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                1,   0, 1,                  "R7143-13.11-01")  \
    X(MAX_BURST_LENGTH,                 "MaxBurstLength",           MIN,      IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                262144, 512, KEY_DATA_LEN_MAX, "R7143-13.13-01")  \
    X(FIRST_BURST_LENGTH,               "FirstBurstLength",         MIN,      IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                65536, 512, KEY_DATA_LEN_MAX, "R7143-13.14-01")  \
    X(MAX_OUTSTANDING_R2T,              "MaxOutstandingR2T",        MIN,      IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                1,   1, 65535,              "R7143-13.17-01")  \
    X(MAX_CONNECTIONS,                  "MaxConnections",           MIN,      IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                1,   1, 65535,              "R7143-13.2-01")   \
    X(DATA_PDU_IN_ORDER,                "DataPDUInOrder",           OR,       IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                1,   0, 1,                  "R7143-13.18-01")  \
    X(DATA_SEQUENCE_IN_ORDER,           "DataSequenceInOrder",      OR,       IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC,                1,   0, 1,                  "R7143-13.19-01")  \
    X(TASK_REPORTING,                   "TaskReporting",            LIST,     IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC | KEY_FLAG_LATER, 0, 0, 255,                "R7143-13.23-01")  \
    X(ISCSI_PROTOCOL_LEVEL,             "iSCSIProtocolLevel",       MIN,      IT, LO,   KEY_FLAG_OP | KEY_FLAG_DISC | KEY_FLAG_LATER, 1, 0, 31,                 "R7144-7.1.1-01")  \
    X(MAX_RECV_DATA_SEGMENT_LENGTH,     "MaxRecvDataSegmentLength", NUMBER,   IT, ALL,  KEY_FLAG_OP | KEY_FLAG_CO,                  8192, 512, KEY_DATA_LEN_MAX, "R7143-13.12-01")  \
    X(NODE_ARCHITECTURE,                "X#NodeArchitecture",       TEXT,     IT, LO,   KEY_FLAG_OP | KEY_FLAG_LATER,               0,   0, 255,                "R7143-13.26.1-01") \
    X(IF_MARKER,                        "IFMarker",                 OBSOLETE, IT, IO,   KEY_FLAG_OP | KEY_FLAG_CO,                  0,   0, 255,                "R7143-13.25-01")  \
    X(OF_MARKER,                        "OFMarker",                 OBSOLETE, IT, IO,   KEY_FLAG_OP | KEY_FLAG_CO,                  0,   0, 255,                "R7143-13.25-01")  \
    X(IF_MARK_INT,                      "IFMarkInt",                OBSOLETE, IT, IO,   KEY_FLAG_OP | KEY_FLAG_CO,                  0,   0, 255,                "R7143-13.25-04")  \
    X(OF_MARK_INT,                      "OFMarkInt",                OBSOLETE, IT, IO,   KEY_FLAG_OP | KEY_FLAG_CO,                  0,   0, 255,                "R7143-13.25-04")
/* clang-format on */

#endif
