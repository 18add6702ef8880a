# Runs one server and sees to it that nothing of it is left behind.
#
# Its stdin is a pipe whose other end belongs to the test. Each line names a signal for the
# server; KILL goes to the server and everything that it started. End of file means that the test
# is gone, however it ended (also by SIGKILL), and kills everything too. The status is the
# server's; 128 + N where a signal N ended it.
#
# PR_SET_PDEATHSIG would not do: it is bound to the thread that forked, is cleared by a change of
# user, and does not reach what a server starts itself.

# Prints the descendants of process $1, leaves first.
descendants() {
    for stat in /proc/[0-9]*/stat; do
        read -r line 2>/dev/null <"$stat" || continue
        pid=${line%% *}
        rest=${line##*) }
        rest=${rest#* }
        parent=${rest%% *}
        if [ "$parent" = "$1" ]; then
            (descendants "$pid")
            echo "$pid"
        fi
    done
}

# True while process $1 runs; a zombie that its new parent has not collected yet does not.
running() {
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    rest=${line##*) }
    [ "${rest%% *}" != Z ]
}

# The server is stopped first, so that it cannot fork past the list, and killed last, so that
# its end means that all are gone.
kill_everything() {
    kill -s STOP "$server" 2>/dev/null
    family=$(descendants "$server")
    for pid in $family; do
        kill -s KILL "$pid" 2>/dev/null
    done
    for pid in $family; do
        while running "$pid"; do
            sleep 0.01
        done
    done
    kill -s KILL -- "-$server" 2>/dev/null
    # It may not have made its group yet.
    kill -s KILL "$server" 2>/dev/null
}

exec 3<&0
setsid -- "$@" </dev/null 3<&- &
server=$!
(
    while read -r signal; do
        case $signal in
        KILL) kill_everything ;;
        *) kill -s "$signal" "$server" ;;
        esac
    done
    kill_everything
) <&3 &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -s KILL "$watcher" 2>/dev/null
kill -s KILL -- "-$server" 2>/dev/null
exit "$status"
