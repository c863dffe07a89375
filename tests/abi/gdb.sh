#!/bin/bash
# gdb attaches to a process that neap serves, looks at it, allocates, frees and trims in its name,
# and lets it go on.
# Usage: gdb.sh LIBRARY WORK_FOLDER PATIENT_PROGRAM
source "$(dirname "$0")/lib.sh"
patient=$1

mkfifo "$work/go_on"
LD_PRELOAD=$library "$patient" "$work/go_on" > "$work/output" &
process=$!
trap 'kill "$process" 2> /dev/null || true' EXIT
for ((i = 0; i < 200; i++)); do
    grep ready "$work/output" > /dev/null && break
    sleep 0.05
done
grep -F "$library" "/proc/$process/maps" > /dev/null || fail "neap is not loaded"

cat > "$work/commands" << 'GDB'
set confirm off
bt
info symbol malloc
print $block = (char *)((void *(*)(unsigned long))malloc)(100000)
print ((unsigned long (*)(void *))malloc_usable_size)($block) >= 100000 ? "usable" : "small"
print $block[99999] = 7
call ((void (*)(void *))free)($block)
print ((int (*)(unsigned long))malloc_trim)(0) >= 0 ? "trimmed" : "refused"
thread apply all bt 3
detach
GDB
gdb -nx -batch -p "$process" -x "$work/commands" > "$work/gdb" 2>&1 || fail "$(cat "$work/gdb")"

expect() # pattern
{
    grep -E "$1" "$work/gdb" > /dev/null || fail "no '$1' in:" "$(cat "$work/gdb")"
}
expect '^malloc in section .text of .*/libneap\.so'
expect '^[$]1 = 0x[0-9a-f]+'
expect '^[$]2 = "usable"'
expect '^[$]3 = 7 '
expect '^[$]4 = "trimmed"'
expect 'main \('
expect 'Inferior 1 \(process [0-9]+\) detached'

echo > "$work/go_on"
wait "$process" || fail "the program did not survive: $?"
grep -x 'went on' "$work/output" > /dev/null || fail "the program did not go on"
