//! Every statement, one file each. A test prepares all of them.

macro_rules! statements {
    ($($name:ident = $file:literal,)*) => {
        $(pub const $name: &str = include_str!(concat!("../../queries/sqlite/", $file, ".sql"));)*

        /// Every statement with the name of its file.
        #[cfg(test)]
        pub const ALL: &[(&str, &str)] = &[$(($file, $name)),*];
    };
}

statements! {
    META_GET = "meta_get",
    META_PUT = "meta_put",
    LEDGER_GET = "ledger_get",
    LEDGER_COMMIT = "ledger_commit",
    LEDGER_HOME = "ledger_home",
    LEDGER_RENEW = "ledger_renew",
    COMEBACK_PUT = "comeback_put",
    COMEBACK_ALL = "comeback_all",
    COMEBACK_ACCEPT = "comeback_accept",
    KNOWN_UNTIL = "known_until",
    NODE_PUT = "node_put",
    NODE_ALL = "node_all",
    NODE_CYCLE = "node_cycle",
    NODE_CYCLE_MOVE = "node_cycle_move",
    JOB_BY_ID = "job_by_id",
    JOB_BY_NAME = "job_by_name",
    JOB_ALL = "job_all",
    JOB_INSERT = "job_insert",
    JOB_UPDATE = "job_update",
    JOB_NEXT = "job_next",
    REVISION_INSERT = "revision_insert",
    REVISION_BY_NUMBER = "revision_by_number",
    REVISION_OF_JOB = "revision_of_job",
    REVISION_EXISTS = "revision_exists",
    TRIGGER_BY_ID = "trigger_by_id",
    TRIGGER_IDS_OF_JOB = "trigger_ids_of_job",
    TRIGGER_ALL = "trigger_all",
    TRIGGER_STOPPED = "trigger_stopped",
    TRIGGER_INSERT = "trigger_insert",
    TRIGGER_UPDATE = "trigger_update",
    DUE_READ = "due_read",
    DUE_ALL = "due_all",
    DUE_EARLIEST = "due_earliest",
    DUE_INSERT = "due_insert",
    DUE_UPDATE = "due_update",
    DUE_DELETE = "due_delete",
    RUN_BY_ID = "run_by_id",
    RUN_OF_JOB = "run_of_job",
    RUN_ALL = "run_all",
    RUN_PAGE = "run_page",
    RUN_QUEUED = "run_queued",
    RUN_LEASED_ELSEWHERE = "run_leased_elsewhere",
    RUN_DUE_EARLIEST = "run_due_earliest",
    RUN_ID_EXISTS = "run_id_exists",
    RUN_KEY_EXISTS = "run_key_exists",
    RUN_COUNTS = "run_counts",
    RUN_INSERT = "run_insert",
    RUN_UPDATE = "run_update",
    RUN_DELETE = "run_delete",
    DEDUP_BY_NAME = "dedup_by_name",
    DEDUP_BY_JOB = "dedup_by_job",
    DEDUP_PUT = "dedup_put",
    DEDUP_PRUNE = "dedup_prune",
    SEGMENT_ALL = "segment_all",
    SEGMENT_CREATE = "segment_create",
    SEGMENT_UPDATE = "segment_update",
    SEGMENT_DELETE = "segment_delete",
    SEGMENT_DROP = "segment_drop",
    SEGMENT_ARCHIVED = "segment_archived",
    SEGMENT_CHECKSUM = "segment_checksum",
    ARCHIVE_CREATE = "archive_create",
    ARCHIVE_RUNS = "archive_runs",
    ARCHIVE_SKIPS = "archive_skips",
    ARCHIVE_INDEX = "archive_index",
    HISTORY_RUN_INSERT = "history_run_insert",
    HISTORY_SKIP_INSERT = "history_skip_insert",
    HISTORY_RUN_BY_ID = "history_run_by_id",
    HISTORY_RUN_LIST = "history_run_list",
    HISTORY_RUN_LIST_OF_JOB = "history_run_list_of_job",
    HISTORY_RUN_TICKS = "history_run_ticks",
    HISTORY_SKIP_TICKS = "history_skip_ticks",
    CHECK_INTEGRITY = "check_integrity",
    CHECK_QUICK = "check_quick",
    PAGE_COUNT = "page_count",
    CHECK_REFERENCES = "check_references",
    CHECK_ROWS = "check_rows",
    CHECK_SEGMENT = "check_segment",
    CHECK_ARCHIVE = "check_archive",
}

/// The statement for one segment. A table's name cannot be bound; a number cannot carry anything else in.
pub fn of_segment(statement: &str, number: i64) -> String {
    statement.replace("_SEGMENT", &format!("_{number}")).replace("(SEGMENT,", &format!("({number},"))
}
