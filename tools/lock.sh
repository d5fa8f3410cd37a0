#!/bin/sh
# Write the lock files anew: newest versions that pyproject.toml allows, every file's hash, no addresses.
set -eu
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    [ -x .tools/uv/bin/uv ] || { python3 -m venv .tools/uv && .tools/uv/bin/pip install --quiet uv; }
    uv=.tools/uv/bin/uv
fi
compile() { "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header "$@"; }
compile pyproject.toml --extra learned --group build --output-file requirements.txt
compile pyproject.toml --extra learned --extra plot --group dev --constraint requirements.txt --output-file requirements-dev.txt
for group in awscli boto3old lake minio moto webdav; do
    compile --group "$group" --output-file "tools/locks/$group.txt"
done
