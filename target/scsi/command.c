/* The table of commands: one row each. REPORT SUPPORTED OPERATION CODES is made from it. */
#include "target/scsi/private.h"

#define ROW(id, flags, start, data) [CDB_##id] = {&cdb_defs[CDB_##id], flags, start, data}

#define READS  CMD_MEDIUM
#define WRITES (CMD_MEDIUM | CMD_WRITE)

const struct scsi_command_def scsi_commands[CDB_COMMAND_COUNT] = {
    ROW(TEST_UNIT_READY, CMD_MEDIUM, cmd_test_unit_ready, NULL),
    ROW(REQUEST_SENSE, CMD_UA | CMD_ANY_LUN, cmd_request_sense, NULL),
    ROW(INQUIRY, CMD_UA | CMD_ANY_LUN, cmd_inquiry, NULL),
    ROW(REPORT_LUNS, CMD_UA | CMD_ANY_LUN, cmd_report_luns, NULL),
    ROW(MODE_SENSE_6, 0, cmd_mode_sense, NULL),
    ROW(MODE_SENSE_10, 0, cmd_mode_sense, NULL),
    ROW(MODE_SELECT_6, 0, cmd_mode_select, mode_select_data),
    ROW(MODE_SELECT_10, 0, cmd_mode_select, mode_select_data),
    ROW(START_STOP_UNIT, 0, cmd_start_stop, NULL),
    ROW(PREVENT_ALLOW, 0, cmd_prevent_allow, NULL),
    ROW(REPORT_OPCODES, 0, cmd_report_opcodes, NULL),
    ROW(REPORT_TMFS, 0, cmd_report_tmfs, NULL),
    ROW(READ_CAPACITY_10, CMD_MEDIUM, cmd_read_capacity_10, NULL),
    ROW(READ_CAPACITY_16, CMD_MEDIUM, cmd_read_capacity_16, NULL),
    ROW(GET_LBA_STATUS, CMD_MEDIUM, cmd_get_lba_status, NULL),
    ROW(READ_6, READS, cmd_read, NULL),
    ROW(READ_10, READS, cmd_read, NULL),
    ROW(READ_12, READS, cmd_read, NULL),
    ROW(READ_16, READS, cmd_read, NULL),
    ROW(WRITE_6, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(WRITE_10, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(WRITE_12, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(WRITE_16, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(WRITE_VERIFY_10, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(WRITE_VERIFY_12, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(WRITE_VERIFY_16, WRITES | CMD_BLOCKS, cmd_write, NULL),
    ROW(XDWRITEREAD_10, WRITES | CMD_BLOCKS, cmd_xdwriteread, NULL),
    ROW(XDWRITEREAD_32, WRITES | CMD_BLOCKS, cmd_xdwriteread, NULL),
    ROW(VERIFY_10, READS | CMD_BLOCKS, cmd_verify, verify_data),
    ROW(VERIFY_12, READS | CMD_BLOCKS, cmd_verify, verify_data),
    ROW(VERIFY_16, READS | CMD_BLOCKS, cmd_verify, verify_data),
    ROW(SYNC_CACHE_10, CMD_MEDIUM, cmd_sync_cache, NULL),
    ROW(SYNC_CACHE_16, CMD_MEDIUM, cmd_sync_cache, NULL),
    ROW(WRITE_SAME_10, WRITES, cmd_write_same, write_same_data),
    ROW(WRITE_SAME_16, WRITES, cmd_write_same, write_same_data),
    ROW(UNMAP, WRITES | CMD_DISCARD, cmd_unmap, unmap_data),
};
