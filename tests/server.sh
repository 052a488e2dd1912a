# shellcheck shell=bash disable=SC2034 # For scripts that start a server of this checkout.

# start_server PROFILE DATABASE [FLAG...]: builds it, starts it on a free port, waits until it
# answers, and sets url. DATABASE is a name on the database server of TEST_DATABASE_URL. SERVER
# names another binary. The server stops when the script ends.
start_server() {
  local binary=${SERVER:-${CARGO_TARGET_DIR:-target}/$1/chat-server} database=$TEST_DATABASE_URL/$2
  [[ ${SERVER:-} ]] || cargo build --locked --profile "${1/debug/dev}"
  folder=$(mktemp -d)
  "$binary" --listen-addr 127.0.0.1:0 --address-file "$folder/address" --database-url "$database" "${@:3}" 2>"$folder/log" &
  server=$!
  trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
  # It opens the port when its database serves.
  until [[ -e $folder/address ]]; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
  done
  url=http://$(<"$folder/address")
}
