#!/bin/sh
# Run one stage of a longer job and print what it took:  sh tools/stage.sh NAME COMMAND...
set -u
name=$1
shift
begin=$(date +%s)
"$@"
status=$?
outcome=done
[ "$status" -eq 0 ] || outcome=FAILED
printf 'stage %-12s %s in %s s\n' "$name" "$outcome" "$(($(date +%s) - begin))"
exit "$status"
