# The step of `run` that changes the servers' password, as docs/database.md says. Sourced by it.
# shellcheck shell=bash disable=SC2154 # settings of run

sql() { # SQL as root from standard input; prints what it returns
  # shellcheck disable=SC2016 # the container's shell reads the password
  kube exec --stdin "$name-mysql-0" --container mysql -- \
    sh -c 'MYSQL_PWD=$(cat /etc/mysql-passwords/root-password) exec mysql --user=root --skip-column-names'
}

# rotate TIMES: new connections use the new password from the moment on at which both hold.
rotate() {
  local restarts turn password since
  restarts=$(restarts)
  for ((turn = 0; turn < $1; turn++)); do
    password=$(openssl rand -hex 24) since=$(date --utc +%FT%TZ)
    echo "alter user chat identified by '$password' retain current password" | sql
    kube patch "secret/$name-mysql" --patch "{\"stringData\": {\"password\": \"$password\"}}" >/dev/null
    read_again "$since"
    echo "alter user chat discard old password" | sql
    # So that the servers have to log in again.
    echo "select concat('kill ', id, ';') from information_schema.processlist where user = 'chat' and command = 'Sleep'" | sql | sql || true
  done
  [ "$(restarts)" = "$restarts" ] || fail "a server was restarted"
}

# Waits until all servers have read the password again since then.
read_again() {
  local pod
  # The kubelet looks at a Secret about once a minute, and when its pod changes.
  kube annotate pods --selector "$servers" --overwrite "rotated-at=$(date +%s)" >/dev/null
  for pod in $(kube get pods --selector "$servers" --output name); do
    until kube logs "$pod" --since-time "$1" | grep -q 'certificates for the database have changed'; do
      [ $((SECONDS - started)) -lt "$(seconds "$duration")" ] || fail "$pod has not read the password again"
      sleep 1
    done
  done
}

restarts() { kube get pods --selector "$servers" --output jsonpath='{range .items[*]}{.metadata.name}={.status.containerStatuses[0].restartCount} {end}'; }
