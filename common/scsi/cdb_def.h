/* Every command of the codec, once: the rows from which cdb.c makes encoder, decoder, names, usage maps and lookup.
 *
 * CDB_FIELD_LIST: F(id, name) - the vocabulary of fields.
 * CDB_COMMAND_LIST: C(id, opcode, service action or CDB_NO_SA, CDB bytes, direction, name, fields...)
 *   direction is NONE, IN, OUT or BIDI;
 *   a field is X(id, byte, shift, bits); I(...) is one that is legal but has no meaning to us: hints and obsolete bits that
 *   real initiators set. The SERVICE ACTION field and the CONTROL byte are rows of their own like any other.
 * Variable length CDBs (opcode 7Fh) have CONTROL in byte 1, their length in byte 7 and the service action in bytes 8-9. */
#ifndef LUNETTE_SCSI_CDB_DEF_H
#define LUNETTE_SCSI_CDB_DEF_H

#define CDB_FIELD_LIST(F)                                                                                            \
    F(LBA, "LOGICAL BLOCK ADDRESS")                                                                                  \
    F(COUNT, "NUMBER OF BLOCKS")                                                                                     \
    F(ALLOC, "ALLOCATION LENGTH")                                                                                    \
    F(PARAM_LEN, "PARAMETER LIST LENGTH")                                                                            \
    F(PROTECT, "PROTECT")                                                                                            \
    F(DPO, "DPO")                                                                                                    \
    F(FUA, "FUA")                                                                                                    \
    F(RARC, "RARC")                                                                                                  \
    F(FUA_NV, "FUA_NV")                                                                                              \
    F(GROUP, "GROUP NUMBER")                                                                                         \
    F(BYTCHK, "BYTCHK")                                                                                              \
    F(ANCHOR, "ANCHOR")                                                                                              \
    F(UNMAP, "UNMAP")                                                                                                \
    F(NDOB, "NDOB")                                                                                                  \
    F(IMMED, "IMMED")                                                                                                \
    F(EVPD, "EVPD")                                                                                                  \
    F(PAGE_CODE, "PAGE CODE")                                                                                        \
    F(SUBPAGE, "SUBPAGE CODE")                                                                                       \
    F(PC, "PC")                                                                                                      \
    F(DBD, "DBD")                                                                                                    \
    F(LLBAA, "LLBAA")                                                                                                \
    F(PF, "PF")                                                                                                      \
    F(SP, "SP")                                                                                                      \
    F(SELECT_REPORT, "SELECT REPORT")                                                                                \
    F(DESC, "DESC")                                                                                                  \
    F(PMI, "PMI")                                                                                                    \
    F(POWER_CONDITION_MODIFIER, "POWER CONDITION MODIFIER")                                                          \
    F(POWER_CONDITION, "POWER CONDITION")                                                                            \
    F(NO_FLUSH, "NO_FLUSH")                                                                                          \
    F(LOEJ, "LOEJ")                                                                                                  \
    F(START, "START")                                                                                                \
    F(PREVENT, "PREVENT")                                                                                            \
    F(SA, "SERVICE ACTION")                                                                                          \
    F(RCTD, "RCTD")                                                                                                  \
    F(REPD, "REPD")                                                                                                  \
    F(REPORTING_OPTIONS, "REPORTING OPTIONS")                                                                        \
    F(REQUESTED_OPCODE, "REQUESTED OPERATION CODE")                                                                  \
    F(REQUESTED_SA, "REQUESTED SERVICE ACTION")                                                                      \
    F(DISABLE_WRITE, "DISABLE WRITE")                                                                                \
    F(XORPINFO, "XORPINFO")                                                                                          \
    F(ADDITIONAL_LEN, "ADDITIONAL CDB LENGTH")                                                                       \
    F(CONTROL, "CONTROL")

#define CDB_NO_SA (-1)

/* The byte-1 layouts that several block commands share. */
#define CDB_READ_FLAGS  X(PROTECT, 1, 5, 3) X(DPO, 1, 4, 1) X(FUA, 1, 3, 1) I(RARC, 1, 2, 1) I(FUA_NV, 1, 1, 1)
#define CDB_WRITE_FLAGS X(PROTECT, 1, 5, 3) X(DPO, 1, 4, 1) X(FUA, 1, 3, 1) I(FUA_NV, 1, 1, 1)
#define CDB_CHECK_FLAGS X(PROTECT, 1, 5, 3) X(DPO, 1, 4, 1) X(BYTCHK, 1, 1, 2)
#define CDB_TAIL_10     I(GROUP, 6, 0, 5) X(COUNT, 7, 0, 16) X(CONTROL, 9, 0, 8)
#define CDB_TAIL_12     X(COUNT, 6, 0, 32) I(GROUP, 10, 0, 5) X(CONTROL, 11, 0, 8)
#define CDB_TAIL_16     X(COUNT, 10, 0, 32) I(GROUP, 14, 0, 5) X(CONTROL, 15, 0, 8)
#define CDB_LBA_32      X(LBA, 2, 0, 32)
#define CDB_LBA_64      X(LBA, 2, 0, 64)

#define CDB_COMMAND_LIST(C)                                                                                          \
    C(TEST_UNIT_READY, 0x00, CDB_NO_SA, 6, NONE, "TEST UNIT READY", X(CONTROL, 5, 0, 8))                             \
    C(REQUEST_SENSE, 0x03, CDB_NO_SA, 6, IN, "REQUEST SENSE", X(DESC, 1, 0, 1) X(ALLOC, 4, 0, 8) X(CONTROL, 5, 0, 8)) \
    C(READ_6, 0x08, CDB_NO_SA, 6, IN, "READ(6)", X(LBA, 1, 0, 21) X(COUNT, 4, 0, 8) X(CONTROL, 5, 0, 8))             \
    C(WRITE_6, 0x0a, CDB_NO_SA, 6, OUT, "WRITE(6)", X(LBA, 1, 0, 21) X(COUNT, 4, 0, 8) X(CONTROL, 5, 0, 8))          \
    C(INQUIRY, 0x12, CDB_NO_SA, 6, IN, "INQUIRY",                                                                    \
      X(EVPD, 1, 0, 1) X(PAGE_CODE, 2, 0, 8) X(ALLOC, 3, 0, 16) X(CONTROL, 5, 0, 8))                                 \
    C(MODE_SELECT_6, 0x15, CDB_NO_SA, 6, OUT, "MODE SELECT(6)",                                                      \
      X(PF, 1, 4, 1) X(SP, 1, 0, 1) X(PARAM_LEN, 4, 0, 8) X(CONTROL, 5, 0, 8))                                       \
    C(MODE_SENSE_6, 0x1a, CDB_NO_SA, 6, IN, "MODE SENSE(6)",                                                         \
      X(DBD, 1, 3, 1) X(PC, 2, 6, 2) X(PAGE_CODE, 2, 0, 6) X(SUBPAGE, 3, 0, 8) X(ALLOC, 4, 0, 8)                     \
          X(CONTROL, 5, 0, 8))                                                                                       \
    C(START_STOP_UNIT, 0x1b, CDB_NO_SA, 6, NONE, "START STOP UNIT",                                                  \
      X(IMMED, 1, 0, 1) X(POWER_CONDITION_MODIFIER, 3, 0, 4) X(POWER_CONDITION, 4, 4, 4) X(NO_FLUSH, 4, 2, 1)        \
          X(LOEJ, 4, 1, 1) X(START, 4, 0, 1) X(CONTROL, 5, 0, 8))                                                    \
    C(PREVENT_ALLOW, 0x1e, CDB_NO_SA, 6, NONE, "PREVENT ALLOW MEDIUM REMOVAL",                                       \
      X(PREVENT, 4, 0, 2) X(CONTROL, 5, 0, 8))                                                                       \
    C(READ_CAPACITY_10, 0x25, CDB_NO_SA, 10, IN, "READ CAPACITY(10)",                                                \
      CDB_LBA_32 X(PMI, 8, 0, 1) X(CONTROL, 9, 0, 8))                                                                \
    C(READ_10, 0x28, CDB_NO_SA, 10, IN, "READ(10)", CDB_READ_FLAGS CDB_LBA_32 CDB_TAIL_10)                           \
    C(WRITE_10, 0x2a, CDB_NO_SA, 10, OUT, "WRITE(10)", CDB_WRITE_FLAGS CDB_LBA_32 CDB_TAIL_10)                       \
    C(WRITE_VERIFY_10, 0x2e, CDB_NO_SA, 10, OUT, "WRITE AND VERIFY(10)", CDB_CHECK_FLAGS CDB_LBA_32 CDB_TAIL_10)     \
    C(VERIFY_10, 0x2f, CDB_NO_SA, 10, OUT, "VERIFY(10)", CDB_CHECK_FLAGS CDB_LBA_32 CDB_TAIL_10)                     \
    C(SYNC_CACHE_10, 0x35, CDB_NO_SA, 10, NONE, "SYNCHRONIZE CACHE(10)",                                             \
      I(FUA_NV, 1, 2, 1) X(IMMED, 1, 1, 1) CDB_LBA_32 CDB_TAIL_10)                                                   \
    C(WRITE_SAME_10, 0x41, CDB_NO_SA, 10, OUT, "WRITE SAME(10)",                                                     \
      X(PROTECT, 1, 5, 3) X(ANCHOR, 1, 4, 1) X(UNMAP, 1, 3, 1) CDB_LBA_32 CDB_TAIL_10)                               \
    C(UNMAP, 0x42, CDB_NO_SA, 10, OUT, "UNMAP",                                                                      \
      X(ANCHOR, 1, 0, 1) I(GROUP, 6, 0, 5) X(PARAM_LEN, 7, 0, 16) X(CONTROL, 9, 0, 8))                               \
    C(XDWRITEREAD_10, 0x53, CDB_NO_SA, 10, BIDI, "XDWRITEREAD(10)",                                                  \
      X(PROTECT, 1, 5, 3) X(DPO, 1, 4, 1) X(FUA, 1, 3, 1) X(DISABLE_WRITE, 1, 2, 1) I(FUA_NV, 1, 1, 1)               \
          X(XORPINFO, 1, 0, 1) CDB_LBA_32 CDB_TAIL_10)                                                               \
    C(MODE_SELECT_10, 0x55, CDB_NO_SA, 10, OUT, "MODE SELECT(10)",                                                   \
      X(PF, 1, 4, 1) X(SP, 1, 0, 1) X(PARAM_LEN, 7, 0, 16) X(CONTROL, 9, 0, 8))                                      \
    C(MODE_SENSE_10, 0x5a, CDB_NO_SA, 10, IN, "MODE SENSE(10)",                                                      \
      X(LLBAA, 1, 4, 1) X(DBD, 1, 3, 1) X(PC, 2, 6, 2) X(PAGE_CODE, 2, 0, 6) X(SUBPAGE, 3, 0, 8)                     \
          X(ALLOC, 7, 0, 16) X(CONTROL, 9, 0, 8))                                                                    \
    C(XDWRITEREAD_32, 0x7f, 0x07, 32, BIDI, "XDWRITEREAD(32)",                                                       \
      X(CONTROL, 1, 0, 8) I(GROUP, 6, 0, 5) X(ADDITIONAL_LEN, 7, 0, 8) X(SA, 8, 0, 16) X(PROTECT, 10, 5, 3)          \
          X(DPO, 10, 4, 1) X(FUA, 10, 3, 1) X(DISABLE_WRITE, 10, 2, 1) I(FUA_NV, 10, 1, 1) X(XORPINFO, 10, 0, 1)     \
          X(LBA, 12, 0, 64) X(COUNT, 28, 0, 32))                                                                     \
    C(READ_16, 0x88, CDB_NO_SA, 16, IN, "READ(16)", CDB_READ_FLAGS CDB_LBA_64 CDB_TAIL_16)                           \
    C(WRITE_16, 0x8a, CDB_NO_SA, 16, OUT, "WRITE(16)", CDB_WRITE_FLAGS CDB_LBA_64 CDB_TAIL_16)                       \
    C(WRITE_VERIFY_16, 0x8e, CDB_NO_SA, 16, OUT, "WRITE AND VERIFY(16)", CDB_CHECK_FLAGS CDB_LBA_64 CDB_TAIL_16)     \
    C(VERIFY_16, 0x8f, CDB_NO_SA, 16, OUT, "VERIFY(16)", CDB_CHECK_FLAGS CDB_LBA_64 CDB_TAIL_16)                     \
    C(SYNC_CACHE_16, 0x91, CDB_NO_SA, 16, NONE, "SYNCHRONIZE CACHE(16)",                                             \
      I(FUA_NV, 1, 2, 1) X(IMMED, 1, 1, 1) CDB_LBA_64 CDB_TAIL_16)                                                   \
    C(WRITE_SAME_16, 0x93, CDB_NO_SA, 16, OUT, "WRITE SAME(16)",                                                     \
      X(PROTECT, 1, 5, 3) X(ANCHOR, 1, 4, 1) X(UNMAP, 1, 3, 1) X(NDOB, 1, 0, 1) CDB_LBA_64 CDB_TAIL_16)              \
    C(READ_CAPACITY_16, 0x9e, 0x10, 16, IN, "READ CAPACITY(16)",                                                     \
      X(SA, 1, 0, 5) CDB_LBA_64 X(ALLOC, 10, 0, 32) X(PMI, 14, 0, 1) X(CONTROL, 15, 0, 8))                           \
    C(GET_LBA_STATUS, 0x9e, 0x12, 16, IN, "GET LBA STATUS",                                                          \
      X(SA, 1, 0, 5) CDB_LBA_64 X(ALLOC, 10, 0, 32) X(CONTROL, 15, 0, 8))                                            \
    C(REPORT_LUNS, 0xa0, CDB_NO_SA, 12, IN, "REPORT LUNS",                                                           \
      X(SELECT_REPORT, 2, 0, 8) X(ALLOC, 6, 0, 32) X(CONTROL, 11, 0, 8))                                             \
    C(REPORT_OPCODES, 0xa3, 0x0c, 12, IN, "REPORT SUPPORTED OPERATION CODES",                                        \
      X(SA, 1, 0, 5) X(RCTD, 2, 7, 1) X(REPORTING_OPTIONS, 2, 0, 3) X(REQUESTED_OPCODE, 3, 0, 8)                     \
          X(REQUESTED_SA, 4, 0, 16) X(ALLOC, 6, 0, 32) X(CONTROL, 11, 0, 8))                                         \
    C(REPORT_TMFS, 0xa3, 0x0d, 12, IN, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",                                 \
      X(SA, 1, 0, 5) X(REPD, 2, 7, 1) X(ALLOC, 6, 0, 32) X(CONTROL, 11, 0, 8))                                       \
    C(READ_12, 0xa8, CDB_NO_SA, 12, IN, "READ(12)", CDB_READ_FLAGS CDB_LBA_32 CDB_TAIL_12)                           \
    C(WRITE_12, 0xaa, CDB_NO_SA, 12, OUT, "WRITE(12)", CDB_WRITE_FLAGS CDB_LBA_32 CDB_TAIL_12)                       \
    C(WRITE_VERIFY_12, 0xae, CDB_NO_SA, 12, OUT, "WRITE AND VERIFY(12)", CDB_CHECK_FLAGS CDB_LBA_32 CDB_TAIL_12)     \
    C(VERIFY_12, 0xaf, CDB_NO_SA, 12, OUT, "VERIFY(12)", CDB_CHECK_FLAGS CDB_LBA_32 CDB_TAIL_12)

#endif
