#!/bin/sh
# The witness of the kill tests: appends a line to $WITNESS when it starts, every tenth of a second, and when it
# ends. Lines are short and appended by one write each, so their order in the file is the order of events.
#   witness.sh TENTHS CODE [stray]
# CODE `flaky` fails before the third attempt. `stray` leaves a child in a session of its own that holds the output.
say() {
  read -r up _ </proc/uptime
  echo "$1 $PUNCTUAL_JOB $PUNCTUAL_RUN_ID $PUNCTUAL_ATTEMPT $PUNCTUAL_NOMINAL_TIME $PUNCTUAL_IDEMPOTENCY_KEY $PUNCTUAL_FENCE $up" >>"$WITNESS"
}

live() {
  left=$2
  while [ "$left" -gt 0 ]; do
    sleep 0.1
    say "$1"
    left=$((left - 1))
  done
}

if [ "$1" = child ]; then
  live child "$2"
  exit 0
fi
say start
tenths=$1 code=$2
if [ "$tenths" = varied ]; then
  # The last digit of the nominal second decides: 0.3 to 2 s.
  second=${PUNCTUAL_NOMINAL_TIME%Z}
  second=${second%.*}
  tenths=$((3 + ${second#"${second%?}"} * 17 / 9))
fi
if [ "$code" = flaky ]; then
  code=3
  [ "$PUNCTUAL_ATTEMPT" -lt 3 ] || code=0
fi
[ "$3" != stray ] || setsid "$0" child 300 &
live tick "$tenths"
say "end:$code"
exit "$code"
