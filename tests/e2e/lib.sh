# What the steps of `run` are made of. Sourced by it.
# shellcheck shell=bash disable=SC2034,SC2154,SC2181 # settings of run, and variables for it; why $? is below

# seconds DURATION: such as 90, 90s or 1m30s; 0 for what is none.
seconds() {
  local rest=$1 sum=0 unit
  if [[ $rest =~ ^[0-9]+$ ]]; then rest+=s; fi
  while [[ $rest =~ ^([0-9]{1,6})([smh])(.*) ]]; do
    case ${BASH_REMATCH[2]} in s) unit=1 ;; m) unit=60 ;; h) unit=3600 ;; esac
    sum=$((sum + 10#${BASH_REMATCH[1]} * unit)) rest=${BASH_REMATCH[3]}
  done
  if [ -z "$rest" ]; then echo "$sum"; else echo 0; fi
}

say() { printf '%s\n' "$*" >&2; }
kube() { kubectl --namespace "$namespace" "$@"; }
wait_for_job() { kube wait --for=condition=Complete "job/$1" --timeout 3m >/dev/null || { kube logs "job/$1" | tail -n 5 >&2; exit 1; }; }
uninstall() { "$helm" uninstall "$release" --namespace "$namespace" --wait --timeout 5m; }

# deploy [ARGUMENT...]: installs or upgrades; the settings of the run stay as they are.
deploy() {
  "$helm" upgrade --install "$release" "$chart" --namespace "$namespace" --wait --timeout 5m "${settings[@]}" "$@" >/dev/null
}

# step NAME COMMAND...: runs it, notes how it went, goes on.
step() {
  local title=$1 started=$SECONDS outcome=passed
  shift
  say "== $title"
  fact=
  # Not as a condition, which would switch `set -e` off inside the step.
  set +e
  (set -e; "$@")
  [ $? -eq 0 ] || { outcome=FAILED; failures=$((failures + 1)); }
  set -e
  [ ! -s "$work/fact" ] || { fact=$(cat "$work/fact"); : >"$work/fact"; }
  printf '| %s | %s | %d s | %s |\n' "$title" "$outcome" $((SECONDS - started)) "$fact" >>"$report"
  say "   $outcome${fact:+: $fact}"
  [ $outcome = passed ] || (kube get pods; kube get events --sort-by .lastTimestamp | tail -n 20) >&2 || true
}

fact() { printf '%s' "$*" >"$work/fact"; }
fail() { say "   $*"; fact "$*"; exit 1; }

# Through the Service, by way of the API server.
service() { curl --silent --show-error --max-time 20 --unix-socket "$socket" "http://localhost/api/v1/namespaces/$namespace/services/$name:http/proxy$1" "${@:2}"; }
post() { # TEXT: posts it as e2e
  service /message --header 'Content-Type: application/json' --data "{\"user\": \"e2e\", \"text\": \"$1\"}" >"$work/posted.json"
  grep -q '"id"' "$work/posted.json" || fail "not posted: $(cat "$work/posted.json")"
}
expect() { # TEXT: it is among the messages
  service /messages >"$work/messages.json"
  grep -qF "\"$1\"" "$work/messages.json" || fail "the message $1 is missing"
}

servers="app.kubernetes.io/component=server"
a_server() { kube get pods --selector "$servers,app.kubernetes.io/instance=$release" --field-selector status.phase=Running --output name | head -n 1; }
ready() { kube rollout status "deployment/$name" --timeout 3m >/dev/null; }

# How many messages of a user the database holds.
stored() {
  # shellcheck disable=SC2016 # the container's shell must read the password
  kube exec "$name-mysql-0" --container mysql -- bash -c \
    'MYSQL_PWD=$(cat "$MYSQL_ROOT_PASSWORD_FILE") mysql --user=root --batch --skip-column-names --execute="$1" "$MYSQL_DATABASE"' \
    -- "select count(*) from messages where user = '$1'"
}

# under_load USER COMMAND...: runs it while a pod sends $rate requests a second, and notes what became of these.
under_load() {
  local user=$1 retry=
  shift
  [ "$1" != --retry ] || { retry=1; shift; }
  kube delete job load --ignore-not-found --wait >/dev/null
  sed -e "s|IMAGE|$k6_image|; s|RATE_VALUE|$rate|; s|DURATION_VALUE|$duration|; s|USER_VALUE|$user|; s|RETRY_VALUE|$retry|" \
    -e "s|BASE_URL_VALUE|http://$name|" "$here/load.yaml" | kube apply --filename - >/dev/null
  kube wait --for=condition=Ready pod --selector job-name=load --timeout 2m >/dev/null
  sleep 3 # it begins to send
  "$@"
  [ "$(kube get job load --output 'jsonpath={.status.active}')" = 1 ] || fail "the load was over before: DURATION is too short"
  until kube get job load --output 'jsonpath={.status.succeeded}{.status.failed}' | grep -q .; do sleep 1; done
  kube logs job/load >"$work/load-$user.log"
  local result in_database
  result=$(sed -n 's/^RESULT //p' "$work/load-$user.log")
  [ -n "$result" ] || fail "the load test told no result: $(tail -n 1 "$work/load-$user.log")"
  in_database=$(stored "$user")
  fact "$result, stored: $in_database$([ ! -e "$work/usage" ] || cat "$work/usage")"
  rm -f "$work/usage"
  # Iterations that k6 could not send in time are k6's fault; up to one per cent does not change the load.
  if [ "$(number failed)" -gt 0 ] || [ "$(number acknowledged)" -ne "$in_database" ] ||
    [ $(($(number dropped) * 100)) -gt "$(number requests)" ]; then
    say "   $result, stored: $in_database"
    grep -v RESULT "$work/load-$user.log" | tail -n 5 >&2
    exit 1
  fi
}
number() {
  local rest=${result#*\"$1\":}
  echo "${rest%%[,\}]*}"
}
