#!/usr/bin/env bash
# Starts a server of this checkout on a private MySQL, or on the database server of
# TEST_DATABASE_URL, and lets schemathesis try its OpenAPI document: thousands of valid and invalid
# requests, no 5xx, no status and no body that the document does not have. EXAMPLES and SEED say
# how many of each operation (300), and which (1).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v schemathesis >/dev/null || { echo "schemathesis is not installed: pip install schemathesis" >&2; exit 1; }
[[ ${TEST_DATABASE_URL:-} ]] || exec tests/databases/private mysql run tests/contract.sh
# shellcheck source=tests/server.sh
. tests/server.sh

start_server debug contract
curl --silent --show-error --fail --retry 60 --retry-delay 1 --output /dev/null "$url/readyz"
SCHEMATHESIS_HOOKS=tests/contract_hooks.py schemathesis run "$url/openapi.json" --url "$url" --checks all \
  --max-examples "${EXAMPLES:-300}" --seed "${SEED:-1}" --no-color
