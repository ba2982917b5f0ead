use super::*;

/// Statements of the cycle and of common reads, and tables that they must not read from end to end.
const FROM_END_TO_END: &[&str] = &[
    "due_all",
    "trigger_all",
    "job_all",
    "run_all",
    "run_counts",
    "run_leased_elsewhere",
    "node_all",
    "segment_all",
    "dedup_prune",
    "history_run_by_id",
    "history_run_list",
    "history_run_list_of_job",
    "history_run_ticks",
    "history_skip_ticks",
    "comeback_all",
    "comeback_accept",
    "known_until",
    "check_quick",
    "page_count",
    "check_integrity",
    "check_references",
    "check_rows",
    "check_segment",
    "check_archive",
];

fn plan(conn: &rusqlite::Connection, statement: &str) -> Vec<String> {
    let mut explained = conn.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).expect("it is a statement");
    for place in 1..=explained.parameter_count() {
        explained.raw_bind_parameter(place, 1).expect("any value will do");
    }
    let mut rows = explained.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().expect("a plan") {
        lines.push(row.get::<_, String>(3).expect("a line"));
    }
    lines
}

fn bare(statement: &str) -> String {
    let lines = statement.lines().filter(|line| !line.starts_with("--"));
    sql::of_segment(&lines.collect::<Vec<_>>().join("\n"), 1)
}

#[test]
fn nothing_else_reads_a_table_from_end_to_end() {
    let dir = Dir::new();
    drop(dir.open());
    let conn = beside(&dir);
    for (file, statement) in sql::ALL.iter().filter(|(file, _)| !FROM_END_TO_END.contains(file)) {
        let text = bare(statement);
        if ["SELECT", "UPDATE", "DELETE"].iter().all(|verb| !text.starts_with(verb)) {
            continue;
        }
        // A walk of the clustered table or of the claim's index, in order and with a limit, is a scan by name.
        let allowed = |line: &str| line.contains("USING COVERING INDEX") || line == "SCAN CONSTANT ROW";
        let scans: Vec<String> =
            plan(&conn, &text).into_iter().filter(|line| line.starts_with("SCAN")).collect();
        assert!(scans.iter().all(|line| allowed(line) || *file == "run_queued"), "{file}: {scans:?}");
    }
}

#[test]
fn the_claim_walks_its_index() {
    let dir = Dir::new();
    drop(dir.open());
    let conn = beside(&dir);
    assert_eq!(plan(&conn, &bare(sql::RUN_QUEUED)), ["SCAN run USING INDEX run_rank"]);
    let due = plan(&conn, &bare(sql::DUE_READ));
    assert_eq!(
        due,
        ["SEARCH d USING PRIMARY KEY (next_at<?)", "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"]
    );
    let keyed = plan(&conn, &bare(sql::RUN_KEY_EXISTS));
    assert!(keyed.iter().any(|line| line.contains("(job=? AND key=?)")), "{keyed:?}");
}

#[test]
fn an_archive_is_read_by_its_indexes() {
    let dir = Dir::new();
    let conn = beside(&dir);
    for statement in [sql::ARCHIVE_CREATE, sql::ARCHIVE_INDEX] {
        conn.execute_batch(&sql::of_segment(statement, 1)).expect("the archive's schema");
    }
    let expected = [
        (sql::HISTORY_RUN_BY_ID, "history_run_id (id=?)"),
        (sql::HISTORY_RUN_LIST_OF_JOB, "history_run_job (job=?)"),
        (sql::HISTORY_RUN_TICKS, "history_run_tick (job=? AND nominal>? AND nominal<?)"),
        (sql::HISTORY_SKIP_TICKS, "history_skip_tick (job=? AND first<?)"),
    ];
    for (statement, index) in expected {
        let lines = plan(&conn, &bare(statement));
        assert!(lines[0].ends_with(index), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains("TEMP B-TREE")), "{lines:?}");
    }
}
