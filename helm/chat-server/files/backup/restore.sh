#!/usr/bin/env bash
# Puts a dump of backup.sh in the place of the database's tables: the newest, or the one that FILE names.
#
# It loads the dump into tables of other names, beside the present ones, and exchanges all of them by one statement. So a
# restore that fails has changed nothing and can be run again, and one that chose the wrong dump can be undone.
set -euo pipefail
umask 077
# shellcheck source=lib.sh
source "$(dirname "$0")/lib.sh"
: "${FILE:=}" "${FORCE:=no}" "${WAIT_SECONDS:=60}"

new=restore_new_
old=restore_old_$(date -u +%Y%m%d%H%M%S)_

main() {
    client=''
    trap 'rm -f -- "$client"' EXIT
    show_dumps
    choose
    say "Checking ${dump##*/}"
    whole=$(check_dump "$dump") || fail "${dump##*/} is not a good dump, see the line above. Nothing was changed; choose another dump by FILE."
    ((whole > 0)) || fail "${dump##*/} has no tables. Nothing was changed; choose another dump by FILE."
    prepare_client
    wait_for_servers
    load
    # An operator or a GitOps tool may have started them again meanwhile.
    wait_for_servers
    exchange
    report
}

choose() {
    if [[ $FILE ]]; then
        dump="$BACKUP_DIR/${FILE##*/}"
        [[ -f $dump ]] || fail "there is no dump named $FILE. Nothing was changed; FILE is one of the names above."
    else
        list_dumps
        ((${#dumps[@]} > 0)) || fail "there are no dumps. Nothing was changed."
        dump=${dumps[-1]}
    fi
}

# Servers remember what they have committed and would go on from there; and what they store now would be lost.
wait_for_servers() {
    [[ $FORCE != yes ]] || return 0
    local sessions others deadline=$((SECONDS + WAIT_SECONDS))
    while true; do
        sessions=$(sql 'show processlist') || fail "cannot see who is connected. The database is as it was."
        others=$(($(wc -l <<<"$sessions") - 1))
        ((others > 0)) || return 0
        ((SECONDS < deadline)) ||
            fail "the servers have $others open connections. The database is as it was. Scale them to 0 and run this again."
        say "Waiting for the servers to stop: $others connections"
        sleep 5
    done
}

load() {
    local name count
    names "$new"
    for name in "${names[@]}"; do sql "drop table \`$name\`"; done
    say "Loading ${dump##*/} beside the present tables"
    # Each statement of a dump begins a line, and line breaks in texts are escaped, so no text is taken for one.
    gzip -dc -- "$dump" | LC_ALL=C sed -E \
        "s/^((DROP TABLE IF EXISTS|CREATE TABLE|LOCK TABLES|INSERT INTO|\/\*!40000 ALTER TABLE) \`)/\1$new/" |
        sql || fail "loading failed, see the lines above. The database is unchanged; run this again to start over."
    names "$new"
    count=${#names[@]}
    ((count == whole)) || fail "loaded $count of $whole tables. The database is as it was."
}

exchange() {
    local name renames=() drops=()
    undo=() forget=''
    names "$new"
    for name in "${names[@]#"$new"}"; do
        renames+=("\`$new$name\` to \`$name\`")
        undo+=("\`$name\` to \`$new$name\`")
    done
    names restore_ not
    for name in "${names[@]}"; do
        # Before the others, which take their names.
        renames=("\`$name\` to \`$old$name\`" "${renames[@]}")
        undo+=("\`$old$name\` to \`$name\`")
        drops+=("\`$old$name\`")
    done
    sql "set session lock_wait_timeout = 30; rename table $(joined "${renames[@]}")" ||
        fail "the tables could not be exchanged, see the line above. The database is as it was."
    forget=$(joined "${drops[@]}")
}

report() {
    local name
    say "Restored ${dump##*/}:"
    names restore_ not
    for name in "${names[@]}"; do
        printf '    %s: %s rows\n' "$name" "$(sql "select count(*) from \`$name\`")"
    done
    say "Start the servers again."
    if [[ $forget ]]; then
        say "The previous tables are kept. To delete them: drop table $forget;"
        say "To go back to it, with the servers stopped: rename table $(joined "${undo[@]}");"
    fi
}

# Puts the result of tables, which takes the same, into the array names.
names() {
    local lines
    lines=$(tables "$@") || fail "the tables could not be listed, see the line above."
    mapfile -t names < <(printf '%s' "${lines:+$lines$'\n'}")
}

joined() {
    local IFS=,
    printf '%s' "$*"
}

main
