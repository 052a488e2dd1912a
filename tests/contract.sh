#!/usr/bin/env bash
# Starts a server on the database of TEST_DATABASE_URL and lets schemathesis try its OpenAPI document: thousands of
# valid and invalid requests, no 5xx, no status and no body that the document does not have.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v schemathesis >/dev/null || { echo "schemathesis is not installed: pip install schemathesis" >&2; exit 1; }
folder=$(mktemp -d)
"${CARGO_TARGET_DIR:-target}/debug/chat-server" --listen-addr 127.0.0.1:0 --address-file "$folder/address" --database-url "$TEST_DATABASE_URL/contract" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

for _ in $(seq 300); do
  url=http://$(cat "$folder/address" 2>/dev/null) && curl -sf "$url/readyz" >/dev/null && break
  sleep 0.1
done

SCHEMATHESIS_HOOKS=tests/contract_hooks.py schemathesis run "$url/openapi.json" --url "$url" --checks all --max-examples "${EXAMPLES:-300}" --seed "${SEED:-1}" --no-color
