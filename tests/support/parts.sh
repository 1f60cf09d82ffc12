# shellcheck shell=bash
# For `tests/run` and `.ci/run`: runs named parts, times each, and prints a table of them at the end. Sourced, not run.

titles=()
times=()
results=()
# Read by the scripts that source this file.
failed=false
running=''

# The exit code by which a command says that it could not do its work here, which is no failure (EX_TEMPFAIL of sysexits).
not_here=75

# part TITLE COMMAND...: runs it, remembers how it went and how long it took, and goes on.
part() {
    local title=$1 begun=$EPOCHREALTIME result=ok status=0
    shift
    printf '\n==> %s\n' "$title"
    # In the background and waited for: a shell handles a signal only between commands, and an interrupt must not wait
    # for a build. It also makes `set -e` hold inside COMMAND, which a plain condition would switch off.
    "$@" &
    running=$!
    wait "$running" || status=$?
    if ((status == not_here)); then
        result='NOT CHECKED'
    elif ((status != 0)); then
        result=FAILED
        failed=true
    fi
    running=''
    note "$title" "$(since "$begun")" "$result"
    printf -- '--> %s: %s after %s s\n' "$title" "$result" "${times[-1]}"
}

# note TITLE SECONDS RESULT: a line of the table.
note() {
    titles+=("$1")
    times+=("$2")
    results+=("$3")
}

# since EPOCHREALTIME: the seconds since then.
since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }

# summary NAME: the table.
summary() {
    local i end=ok
    if $failed; then end=FAILED; fi
    printf '\n%-52s %9s  %s\n' "$1" seconds result
    for i in "${!titles[@]}"; do printf '%-52s %9s  %s\n' "${titles[$i]}" "${times[$i]}" "${results[$i]}"; done
    printf '%-52s %9s  %s\n' total "$SECONDS" "$end"
}
