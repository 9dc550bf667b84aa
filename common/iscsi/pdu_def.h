/* Every PDU header of RFC 7143 chapter 11 (and the RFC 7144 fields), declared once. No include guard: pure
 * data, expanded by pdu.h and pdu.c into the structs, encode, decode, the field tables and the proof that
 * each list covers 48 bytes.
 *
 *   F(type, name, byte, shift, bits, rule)
 *                          a field, `bits` wide; when it fits one byte, its lowest bit is bit `shift` of
 *                          `byte`; wider ones are big-endian from `byte` on with shift 0
 *   B(name, byte, len)     opaque bytes
 *   R(byte, shift, bits)   reserved: sent as zero, ignored when received
 *
 * Rules: ANY, IS(value, id), RANGE(min, max, id), NOT(value, id), and NOT_WHEN(flag, value, id), which counts
 * only while the one-bit field `flag` is 1. The id is the requirement that the rule enforces. What needs more
 * than one header (the task, the stage, the level) or has an answer of its own (a response to an unknown
 * function code, not a Reject) is the engines' business and stands as ANY here.
 *
 * Fields keep the RFC's names; ITT and TTT are short for initiator_task_tag and target_transfer_tag. */

/* One row per field reads as the RFC's figures do; a formatter would nest the rows. */
/* clang-format off */

/* First eight bytes: opcode byte, then flags per PDU, then lengths. */
#define PDU_OPCODE_REQUEST(F, R, code)                                                                       \
    R(0, 7, 1)                                                                                               \
    F(uint8_t,  immediate,                       0, 6,  1, ANY)                                              \
    F(uint8_t,  opcode,                          0, 0,  6, IS(code, "R7143-11.2.1.2-03"))
#define PDU_OPCODE_RESPONSE(F, R, code)                                                                      \
    R(0, 6, 2)                                                                                               \
    F(uint8_t,  opcode,                          0, 0,  6, IS(code, "R7143-11.2.1.2-03"))
#define PDU_LENGTHS(F)                                                                                       \
    F(uint8_t,  total_ahs_length,                4, 0,  8, ANY)                                              \
    F(uint32_t, data_segment_length,             5, 0, 24, ANY)
/* What targets send has no AHS. */
#define PDU_LENGTHS_NO_AHS(F)                                                                                \
    F(uint8_t,  total_ahs_length,                4, 0,  8, IS(0, "R7143-11.2-02"))                           \
    F(uint32_t, data_segment_length,             5, 0, 24, ANY)
/* Some PDUs are a basic header and nothing else. */
#define PDU_LENGTHS_ZERO(F, id)                                                                              \
    F(uint8_t,  total_ahs_length,                4, 0,  8, IS(0, id))                                        \
    F(uint32_t, data_segment_length,             5, 0, 24, IS(0, id))

/* 11.3 SCSI Command. `priority` (PRI) is RFC 7144 5.1: it counts from iSCSIProtocolLevel 2 on. */
#define PDU_SCSI_COMMAND(F, B, R)                                                                            \
    PDU_OPCODE_REQUEST(F, R, 0x01)                                                                           \
    F(uint8_t,  final,                           1, 7,  1, ANY)                                              \
    F(uint8_t,  read,                            1, 6,  1, ANY)                                              \
    F(uint8_t,  write,                           1, 5,  1, ANY)                                              \
    R(1, 3, 2)                                                                                               \
    F(uint8_t,  attr,                            1, 0,  3, RANGE(0, 4, "R7143-11.3.1-06"))                   \
    F(uint8_t,  priority,                        2, 4,  4, ANY)                                              \
    R(2, 0, 4)                                                                                               \
    R(3, 0, 8)                                                                                               \
    PDU_LENGTHS(F)                                                                                           \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, NOT(0xffffffffu, "R7143-11.2.1.8-02"))            \
    F(uint32_t, expected_data_transfer_length,  20, 0, 32, ANY)                                              \
    F(uint32_t, cmd_sn,                         24, 0, 32, ANY)                                              \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    B(cdb, 32, 16)

/* 11.4 SCSI Response. `status_qualifier` is RFC 7144 5.2: it counts from iSCSIProtocolLevel 2 on. */
#define PDU_SCSI_RESPONSE(F, B, R)                                                                           \
    PDU_OPCODE_RESPONSE(F, R, 0x21)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 5, 2)                                                                                               \
    F(uint8_t,  bidi_overflow,                   1, 4,  1, ANY)                                              \
    F(uint8_t,  bidi_underflow,                  1, 3,  1, ANY)                                              \
    F(uint8_t,  overflow,                        1, 2,  1, ANY)                                              \
    F(uint8_t,  underflow,                       1, 1,  1, ANY)                                              \
    R(1, 0, 1)                                                                                               \
    F(uint8_t,  response,                        2, 0,  8, ANY)                                              \
    F(uint8_t,  status,                          3, 0,  8, ANY)                                              \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    F(uint16_t, status_qualifier,                8, 0, 16, ANY)                                              \
    R(10, 0, 16)                                                                                             \
    R(12, 0, 32)                                                                                             \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, snack_tag,                      20, 0, 32, ANY)                                              \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint32_t, exp_data_sn,                    36, 0, 32, ANY)                                              \
    F(uint32_t, bidi_residual_count,            40, 0, 32, ANY)                                              \
    F(uint32_t, residual_count,                 44, 0, 32, ANY)

/* 11.5 Task Management Function Request */
#define PDU_TASK_MANAGEMENT_REQUEST(F, B, R)                                                                 \
    PDU_OPCODE_REQUEST(F, R, 0x02)                                                                           \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.5-01"))                           \
    F(uint8_t,  function,                        1, 0,  7, ANY)                                              \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS_ZERO(F, "R7143-11.5.2-01")                                                                   \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, NOT(0xffffffffu, "R7143-11.2.1.8-02"))            \
    F(uint32_t, referenced_task_tag,            20, 0, 32, ANY)                                              \
    F(uint32_t, cmd_sn,                         24, 0, 32, ANY)                                              \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    F(uint32_t, ref_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint32_t, exp_data_sn,                    36, 0, 32, ANY)                                              \
    R(40, 0, 64)

/* 11.6 Task Management Function Response. `additional_response` is RFC 7144 6.4.1. R7144-6.4.1-01 */
#define PDU_TASK_MANAGEMENT_RESPONSE(F, B, R)                                                                \
    PDU_OPCODE_RESPONSE(F, R, 0x22)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    F(uint8_t,  response,                        2, 0,  8, ANY)                                              \
    R(3, 0, 8)                                                                                               \
    PDU_LENGTHS_ZERO(F, "R7143-11.6.2-01")                                                                   \
    F(uint32_t, additional_response,             8, 0, 24, ANY)                                              \
    R(11, 0, 8)                                                                                              \
    R(12, 0, 32)                                                                                             \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    R(20, 0, 32)                                                                                             \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    R(36, 0, 64)                                                                                             \
    R(44, 0, 32)

/* 11.7 SCSI Data-Out */
#define PDU_DATA_OUT(F, B, R)                                                                                \
    PDU_OPCODE_RESPONSE(F, R, 0x05)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, ANY)                                              \
    R(1, 0, 7)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS(F)                                                                                           \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    R(24, 0, 32)                                                                                             \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    R(32, 0, 32)                                                                                             \
    F(uint32_t, data_sn,                        36, 0, 32, ANY)                                              \
    F(uint32_t, buffer_offset,                  40, 0, 32, ANY)                                              \
    R(44, 0, 32)

/* 11.7 SCSI Data-In. `has_status` is the S bit. */
#define PDU_DATA_IN(F, B, R)                                                                                 \
    PDU_OPCODE_RESPONSE(F, R, 0x25)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, ANY)                                              \
    F(uint8_t,  acknowledge,                     1, 6,  1, ANY)                                              \
    R(1, 3, 3)                                                                                               \
    F(uint8_t,  overflow,                        1, 2,  1, ANY)                                              \
    F(uint8_t,  underflow,                       1, 1,  1, ANY)                                              \
    F(uint8_t,  has_status,                      1, 0,  1, ANY)                                              \
    R(2, 0, 8)                                                                                               \
    F(uint8_t,  status,                          3, 0,  8, ANY)                                              \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint32_t, data_sn,                        36, 0, 32, ANY)                                              \
    F(uint32_t, buffer_offset,                  40, 0, 32, ANY)                                              \
    F(uint32_t, residual_count,                 44, 0, 32, ANY)

/* 11.8 Ready To Transfer */
#define PDU_R2T(F, B, R)                                                                                     \
    PDU_OPCODE_RESPONSE(F, R, 0x31)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS_ZERO(F, "R7143-11.8.1-01")                                                                   \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, NOT(0xffffffffu, "R7143-11.8.5-01"))              \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint32_t, r2t_sn,                         36, 0, 32, ANY)                                              \
    F(uint32_t, buffer_offset,                  40, 0, 32, ANY)                                              \
    F(uint32_t, desired_data_transfer_length,   44, 0, 32, NOT(0, "R7143-11.8.4-01"))

/* 11.9 Asynchronous Message */
#define PDU_ASYNC_MESSAGE(F, B, R)                                                                           \
    PDU_OPCODE_RESPONSE(F, R, 0x32)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, IS(0xffffffffu, "R7143-11.9-01"))                 \
    R(20, 0, 32)                                                                                             \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint8_t,  async_event,                    36, 0,  8, ANY)                                              \
    F(uint8_t,  async_vcode,                    37, 0,  8, ANY)                                              \
    F(uint16_t, parameter1,                     38, 0, 16, ANY)                                              \
    F(uint16_t, parameter2,                     40, 0, 16, ANY)                                              \
    F(uint16_t, parameter3,                     42, 0, 16, ANY)                                              \
    R(44, 0, 32)

/* 11.10 Text Request. `more` is the C bit. */
#define PDU_TEXT_REQUEST(F, B, R)                                                                            \
    PDU_OPCODE_REQUEST(F, R, 0x04)                                                                           \
    F(uint8_t,  final,                           1, 7,  1, ANY)                                              \
    F(uint8_t,  more,                            1, 6,  1, ANY)                                              \
    R(1, 0, 6)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS(F)                                                                                           \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, NOT(0xffffffffu, "R7143-11.2.1.8-02"))            \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    F(uint32_t, cmd_sn,                         24, 0, 32, ANY)                                              \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    R(32, 0, 64)                                                                                             \
    R(40, 0, 64)

/* 11.11 Text Response */
#define PDU_TEXT_RESPONSE(F, B, R)                                                                           \
    PDU_OPCODE_RESPONSE(F, R, 0x24)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, ANY)                                              \
    F(uint8_t,  more,                            1, 6,  1, ANY)                                              \
    R(1, 0, 6)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    R(36, 0, 64)                                                                                             \
    R(44, 0, 32)

/* 11.12 Login Request: T, C, CSG, NSG, versions, ISID, TSIH, CID. Always immediate: bit 6 of byte 0 is 1. */
#define PDU_LOGIN_REQUEST(F, B, R)                                                                           \
    R(0, 7, 1)                                                                                               \
    F(uint8_t,  immediate,                       0, 6,  1, IS(1, "R7143-11.12-02"))                          \
    F(uint8_t,  opcode,                          0, 0,  6, IS(0x03, "R7143-11.2.1.2-03"))                    \
    F(uint8_t,  transit,                         1, 7,  1, ANY)                                              \
    F(uint8_t,  more,                            1, 6,  1, ANY)                                              \
    R(1, 4, 2)                                                                                               \
    F(uint8_t,  csg,                             1, 2,  2, NOT(2, "R7143-11.12.3-01"))                       \
    F(uint8_t,  nsg,                             1, 0,  2, NOT_WHEN(transit, 2, "R7143-11.12.3-01"))         \
    F(uint8_t,  version_max,                     2, 0,  8, ANY)                                              \
    F(uint8_t,  version_min,                     3, 0,  8, ANY)                                              \
    PDU_LENGTHS(F)                                                                                           \
    B(isid, 8, 6)                                                                                            \
    F(uint16_t, tsih,                           14, 0, 16, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint16_t, cid,                            20, 0, 16, ANY)                                              \
    R(22, 0, 16)                                                                                             \
    F(uint32_t, cmd_sn,                         24, 0, 32, ANY)                                              \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    R(32, 0, 64)                                                                                             \
    R(40, 0, 64)

/* 11.13 Login Response */
#define PDU_LOGIN_RESPONSE(F, B, R)                                                                          \
    PDU_OPCODE_RESPONSE(F, R, 0x23)                                                                          \
    F(uint8_t,  transit,                         1, 7,  1, ANY)                                              \
    F(uint8_t,  more,                            1, 6,  1, ANY)                                              \
    R(1, 4, 2)                                                                                               \
    F(uint8_t,  csg,                             1, 2,  2, NOT(2, "R7143-11.12.3-01"))                       \
    F(uint8_t,  nsg,                             1, 0,  2, NOT_WHEN(transit, 2, "R7143-11.12.3-01"))         \
    F(uint8_t,  version_max,                     2, 0,  8, ANY)                                              \
    F(uint8_t,  version_active,                  3, 0,  8, ANY)                                              \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    B(isid, 8, 6)                                                                                            \
    F(uint16_t, tsih,                           14, 0, 16, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    R(20, 0, 32)                                                                                             \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint8_t,  status_class,                   36, 0,  8, ANY)                                              \
    F(uint8_t,  status_detail,                  37, 0,  8, ANY)                                              \
    R(38, 0, 16)                                                                                             \
    R(40, 0, 64)

/* 11.14 Logout Request */
#define PDU_LOGOUT_REQUEST(F, B, R)                                                                          \
    PDU_OPCODE_REQUEST(F, R, 0x06)                                                                           \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    F(uint8_t,  reason,                          1, 0,  7, RANGE(0, 2, "R7143-11.14.1-01"))                  \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS_ZERO(F, "R7143-11.14.2-01")                                                                  \
    R(8, 0, 64)                                                                                              \
    F(uint32_t, itt,                            16, 0, 32, NOT(0xffffffffu, "R7143-11.2.1.8-02"))            \
    F(uint16_t, cid,                            20, 0, 16, ANY)                                              \
    R(22, 0, 16)                                                                                             \
    F(uint32_t, cmd_sn,                         24, 0, 32, ANY)                                              \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    R(32, 0, 64)                                                                                             \
    R(40, 0, 64)

/* 11.15 Logout Response */
#define PDU_LOGOUT_RESPONSE(F, B, R)                                                                         \
    PDU_OPCODE_RESPONSE(F, R, 0x26)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    F(uint8_t,  response,                        2, 0,  8, ANY)                                              \
    R(3, 0, 8)                                                                                               \
    PDU_LENGTHS_ZERO(F, "R7143-11.15.2-01")                                                                  \
    R(8, 0, 64)                                                                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    R(20, 0, 32)                                                                                             \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    R(36, 0, 32)                                                                                             \
    F(uint16_t, time2wait,                      40, 0, 16, ANY)                                              \
    F(uint16_t, time2retain,                    42, 0, 16, ANY)                                              \
    R(44, 0, 32)

/* 11.16 SNACK Request */
#define PDU_SNACK_REQUEST(F, B, R)                                                                           \
    PDU_OPCODE_RESPONSE(F, R, 0x10)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 4, 3)                                                                                               \
    F(uint8_t,  type,                            1, 0,  4, RANGE(0, 3, "R7143-11.16.1-01"))                  \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS(F)                                                                                           \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    R(24, 0, 32)                                                                                             \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    R(32, 0, 64)                                                                                             \
    F(uint32_t, beg_run,                        40, 0, 32, ANY)                                              \
    F(uint32_t, run_length,                     44, 0, 32, ANY)

/* 11.17 Reject */
#define PDU_REJECT(F, B, R)                                                                                  \
    PDU_OPCODE_RESPONSE(F, R, 0x3f)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    F(uint8_t,  reason,                          2, 0,  8, ANY)                                              \
    R(3, 0, 8)                                                                                               \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    R(8, 0, 64)                                                                                              \
    F(uint32_t, itt,                            16, 0, 32, IS(0xffffffffu, "R7143-11.17-01"))                \
    R(20, 0, 32)                                                                                             \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    F(uint32_t, data_sn,                        36, 0, 32, ANY)                                              \
    R(40, 0, 64)

/* 11.18 NOP-Out */
#define PDU_NOP_OUT(F, B, R)                                                                                 \
    PDU_OPCODE_REQUEST(F, R, 0x00)                                                                           \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS(F)                                                                                           \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    F(uint32_t, cmd_sn,                         24, 0, 32, ANY)                                              \
    F(uint32_t, exp_stat_sn,                    28, 0, 32, ANY)                                              \
    R(32, 0, 64)                                                                                             \
    R(40, 0, 64)

/* 11.19 NOP-In */
#define PDU_NOP_IN(F, B, R)                                                                                  \
    PDU_OPCODE_RESPONSE(F, R, 0x20)                                                                          \
    F(uint8_t,  final,                           1, 7,  1, IS(1, "R7143-11.2.1.3-01"))                       \
    R(1, 0, 7)                                                                                               \
    R(2, 0, 16)                                                                                              \
    PDU_LENGTHS_NO_AHS(F)                                                                                    \
    F(uint64_t, lun,                             8, 0, 64, ANY)                                              \
    F(uint32_t, itt,                            16, 0, 32, ANY)                                              \
    F(uint32_t, ttt,                            20, 0, 32, ANY)                                              \
    F(uint32_t, stat_sn,                        24, 0, 32, ANY)                                              \
    F(uint32_t, exp_cmd_sn,                     28, 0, 32, ANY)                                              \
    F(uint32_t, max_cmd_sn,                     32, 0, 32, ANY)                                              \
    R(36, 0, 64)                                                                                             \
    R(44, 0, 32)

/* X(list, struct tag, opcode, who sends it, name): the directory of all PDUs. */
#define PDU_LIST(X)                                                                                          \
    X(PDU_NOP_OUT,                   nop_out,                  0x00, PDU_FROM_INITIATOR, "NOP-Out")          \
    X(PDU_SCSI_COMMAND,              scsi_command,             0x01, PDU_FROM_INITIATOR, "SCSI Command")     \
    X(PDU_TASK_MANAGEMENT_REQUEST,   task_management_request,  0x02, PDU_FROM_INITIATOR, "Task Management Request") \
    X(PDU_LOGIN_REQUEST,             login_request,            0x03, PDU_FROM_INITIATOR, "Login Request")    \
    X(PDU_TEXT_REQUEST,              text_request,             0x04, PDU_FROM_INITIATOR, "Text Request")     \
    X(PDU_DATA_OUT,                  data_out,                 0x05, PDU_FROM_INITIATOR, "Data-Out")         \
    X(PDU_LOGOUT_REQUEST,            logout_request,           0x06, PDU_FROM_INITIATOR, "Logout Request")   \
    X(PDU_SNACK_REQUEST,             snack_request,            0x10, PDU_FROM_INITIATOR, "SNACK Request")    \
    X(PDU_NOP_IN,                    nop_in,                   0x20, PDU_FROM_TARGET,    "NOP-In")           \
    X(PDU_SCSI_RESPONSE,             scsi_response,            0x21, PDU_FROM_TARGET,    "SCSI Response")    \
    X(PDU_TASK_MANAGEMENT_RESPONSE,  task_management_response, 0x22, PDU_FROM_TARGET,    "Task Management Response") \
    X(PDU_LOGIN_RESPONSE,            login_response,           0x23, PDU_FROM_TARGET,    "Login Response")   \
    X(PDU_TEXT_RESPONSE,             text_response,            0x24, PDU_FROM_TARGET,    "Text Response")    \
    X(PDU_DATA_IN,                   data_in,                  0x25, PDU_FROM_TARGET,    "Data-In")          \
    X(PDU_LOGOUT_RESPONSE,           logout_response,          0x26, PDU_FROM_TARGET,    "Logout Response")  \
    X(PDU_R2T,                       r2t,                      0x31, PDU_FROM_TARGET,    "R2T")              \
    X(PDU_ASYNC_MESSAGE,             async_message,            0x32, PDU_FROM_TARGET,    "Asynchronous Message") \
    X(PDU_REJECT,                    reject,                   0x3f, PDU_FROM_TARGET,    "Reject")
/* clang-format on */
