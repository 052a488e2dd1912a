#!/usr/bin/env bash
# Fails when dumps could not be written to BACKUP_DIR.
set -euo pipefail

file="$BACKUP_DIR/.partial-${HOSTNAME:-$$}"
date -u >"$file"
sync -- "$file"
rm -- "$file"
df -h "$BACKUP_DIR"
