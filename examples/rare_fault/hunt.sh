#!/bin/sh
# The whole hunt, unattended: search for a run that does not replay identically, shrink it, show it again.
# Files go to ./hunt and ./shrunk; loadgen must be on the path. SEEDS and JOBS may be set.
set -eu
here=$(dirname "$0")

loadgen stress --scenario "$here/customers.py" -c 2,4 --seeds "${SEEDS:-1..40}" --jobs "${JOBS:-2}" \
  --until-failure --folder hunt "$here/serve.py" || test $? = 1
loadgen shrink hunt --output shrunk --jobs "${JOBS:-2}"
