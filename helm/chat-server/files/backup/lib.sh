# shellcheck shell=bash
# What backup.sh and restore.sh share: settings, messages, the database's clients, and what makes a dump a good one.
# Works with the programs of MySQL and with those of MariaDB.

: "${DB_HOST:?}" "${DB_PORT:=3306}" "${DB_NAME:?}" "${DB_USER:?}" "${DB_PASSWORD_FILE:?}" "${BACKUP_DIR:?}"

say() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"; }

fail() {
    say "ERROR: $*" >&2
    exit 1
}

# The password goes into a file that only this pod sees: arguments are visible to every process of the node.
prepare_client() {
    local password
    password=$(<"$DB_PASSWORD_FILE") || fail "cannot read the password in $DB_PASSWORD_FILE"
    client=$(mktemp)
    # Inside the quotes of an option file, a backslash is an escape.
    printf '[client]\nprotocol=tcp\nhost=%s\nport=%s\nuser=%s\npassword="%s"\n' \
        "$DB_HOST" "$DB_PORT" "$DB_USER" "${password//\\/\\\\}" >"$client"
    sql 'select 1' >/dev/null || fail "cannot log in to $DB_NAME as $DB_USER at $DB_HOST:$DB_PORT, see the line above"
}

# Reads SQL from its argument, or from standard input. In binary mode the client's own commands are off, such as the one
# that runs a program: a dump is data, wherever it came from.
sql() {
    mysql --defaults-file="$client" --default-character-set=utf8mb4 --max-allowed-packet=1G --binary-mode \
        --batch --skip-column-names "$DB_NAME" ${1:+--execute="$1"}
}

# The tables whose name begins with PREFIX, or, with "not", those whose does not.
tables() {
    sql "select table_name from information_schema.tables where table_schema = database()
        and table_type = 'BASE TABLE' and table_name ${2:-} like '${1//_/\\_}%' order by table_name"
}

# The dumps, oldest first: their names sort by time. Only exact names that backup.sh gives: a dump that an
# operator has renamed, even slightly, is kept.
list_dumps() {
    local file name="^$DB_NAME-[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(-[0-9]{2}){2}Z\\.sql\\.gz$"
    dumps=()
    for file in "$BACKUP_DIR/$DB_NAME"-*.sql.gz; do
        if [[ -f $file && ${file##*/} =~ $name ]]; then dumps+=("$file"); fi
    done
}

# Includes dumps that an operator has renamed or copied in.
show_dumps() {
    local file
    say "Dumps in $BACKUP_DIR, $(df -h --output=avail "$BACKUP_DIR" | tail -n 1 | tr -d ' ') free:"
    for file in "$BACKUP_DIR"/*.sql.gz; do
        [[ ! -e $file ]] || printf '    %q  %s\n' "${file##*/}" "$(numfmt --to=iec --suffix=B "$(stat -c %s "$file")")"
    done
}

# Prints how many tables a dump makes. Fails when it is not whole: gzip checks its bytes, and the last line says that
# mysqldump came to the end. Fails too at a line that does not begin like one of backup.sh's dumps, because restore.sh
# would not know how to redirect it: a trigger or a view, or what another program has written.
check_dump() {
    gzip -dc -- "$1" | LC_ALL=C awk '
        /^CREATE TABLE `/ { tables++; inside = 1 }
        /^INSERT INTO `/ { inside = 1 } # MariaDB gives each row a line.
        inside { inside = !/;$/; last = ""; next }
        !/^((DROP TABLE IF EXISTS `[^`]+`|LOCK TABLES `[^`]+` WRITE|UNLOCK TABLES);)?$/ && !/^--/ &&
            !/^\/\*M?![0-9]+(\\- enable the sandbox mode| SET | ALTER TABLE `)[^;]*;? ?$/ {
            if (!trouble) trouble = "unknown statement: " substr($0, 1, 60)
        }
        { last = substr($0, 1, 60) }
        END {
            if (!trouble && last !~ /^-- Dump completed/) trouble = "it ends too early"
            if (trouble) { print trouble > "/dev/stderr"; exit 1 }
            print tables + 0
        }'
}
