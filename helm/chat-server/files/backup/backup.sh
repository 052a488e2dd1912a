#!/usr/bin/env bash
# Dumps the database into a file of BACKUP_DIR, checks the file, and removes the oldest ones. Writers are not blocked.
set -euo pipefail
umask 027
# shellcheck source=lib.sh
source "$(dirname "$0")/lib.sh"
: "${KEEP_COUNT:=14}" "${KEEP_DAYS:=0}"

main() {
    client='' partial=''
    trap 'rm -f -- "$client" "$partial"' EXIT
    # What a killed backup left behind. A younger one may be another backup that runs.
    find "$BACKUP_DIR" -maxdepth 1 -name '.partial-*' -mmin +1440 -delete
    prepare_client
    local dump
    dump="$BACKUP_DIR/$DB_NAME-$(date -u +%Y-%m-%dT%H-%M-%SZ).sql.gz"
    partial="$BACKUP_DIR/.partial-${HOSTNAME:-$$}-${dump##*/}"
    write "$@"
    # A file gets its final name only when it is complete and on disk.
    sync -- "$partial"
    mv -- "$partial" "$dump"
    say "Backup written: ${dump##*/} with $made tables in $SECONDS s"
    prune
    show_dumps
}

# Takes further arguments for mysqldump.
write() {
    local others table options=(--single-transaction --quick --no-tablespaces --hex-blob --default-character-set=utf8mb4)
    # MySQL's own mysqldump would write lines about replication that only root may load.
    if [[ $(mysqldump --help) == *set-gtid-purged* ]]; then options+=(--set-gtid-purged=OFF); fi
    # Excludes the tables that a restore keeps for undo, and any views and triggers that an operator has added,
    # because restore.sh could not load them beside the present ones.
    others=$(sql "select table_name from information_schema.tables where table_schema = database()
        and (table_type <> 'BASE TABLE' or table_name like 'restore\\_%')") ||
        fail "the tables could not be listed, see the line above."
    while IFS= read -r table; do
        [[ ! $table ]] || options+=("--ignore-table=$DB_NAME.$table")
    done <<<"$others"
    options+=(--skip-triggers)
    say "Dumping $DB_NAME at $DB_HOST:$DB_PORT"
    mysqldump --defaults-file="$client" "${options[@]}" "$@" "$DB_NAME" | gzip >"$partial" ||
        fail "the dump failed, see the lines above. Older dumps are as they were."
    made=$(check_dump "$partial") || fail "the dump is not whole, see the line above. Older dumps are as they were."
    # Or dumps of a database that lost its tables would in time push out the good ones.
    ((made > 0)) || fail "$DB_NAME has no tables, so there is nothing to back up. Older dumps are as they were."
}

prune() {
    local oldest='' file
    ((KEEP_DAYS == 0)) || oldest="$BACKUP_DIR/$DB_NAME-$(date -u -d "$KEEP_DAYS days ago" +%Y-%m-%dT%H-%M-%SZ)"
    list_dumps
    local extra=$((KEEP_COUNT > 0 ? ${#dumps[@]} - KEEP_COUNT : 0))
    # The last one is the new one.
    for file in "${dumps[@]::${#dumps[@]}-1}"; do
        if ((extra-- > 0)) || [[ $file < $oldest ]]; then
            rm -- "$file"
            say "Removed ${file##*/}"
        fi
    done
}

main "$@"
