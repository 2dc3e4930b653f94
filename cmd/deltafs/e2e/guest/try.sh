# try.sh: a build runs on a fork that is thrown away, kept, or committed.
. /out/guest/lib.sh
export HOME=/tmp/home XDG_STATE_HOME=/tmp/state
B=/tmp/project
mkdir -p "$HOME" "$B/src" && cd "$B" || finish
for i in 1 2 3 4 5 6 7 8; do echo "int f$i(int x) { return x + $i; }" > src/f$i.c; done
echo 'int f1(int); int main(void) { return f1(-1); }' > src/main.c
printf 'CC = cc\nOBJ = $(patsubst src/%%.c,out/%%.o,$(wildcard src/*.c))\nprog: $(OBJ)\n\t$(CC) -o $@ $(OBJ)\nout/%%.o: src/%%.c\n\t@mkdir -p out\n\t$(CC) -c -o $@ $<\n' > Makefile
probe tree "$B" > /tmp/before
server=$$ log=/dev/null
untouched() { probe tree "$B" | diff /tmp/before - > /tmp/diff || { head /tmp/diff; false; }; }
mounts() { ! grep deltafs-try /proc/mounts && ! ls -d /tmp/deltafs-try-* 2>/dev/null; }
export -f untouched mounts; export B
LIMIT=600
here build-and-discard 'deltafs try --discard "$B" -- make -s 2> /tmp/err && grep -q "^A prog$" /tmp/err && grep -q "^A out/f8.o$" /tmp/err && untouched'
here discard-leaves-no-trace 'mounts && test -z "$(ls -A /tmp/state/deltafs/deltas 2>/dev/null)"'
here a-command-that-fails 'deltafs try --commit "$B" -- sh -c "echo x > y; exit 7" 2> /tmp/err; test $? = 7 && grep -q "kept as the fork" /tmp/err && untouched && test ! -e "$B/y"'
here fork-is-there 'deltafs list "$(ls -d /tmp/state/deltafs/deltas/*)" | grep try- && fork=$(deltafs list "$(ls -d /tmp/state/deltafs/deltas/*)" | grep -o "try-[^ ]*") && deltafs status --fork "$fork" /tmp/state/deltafs/deltas/* | grep -qx "A y" && deltafs drop /tmp/state/deltafs/deltas/* "$fork"'
here build-and-accept 'deltafs try --accept "$B" -- make -s 2> /tmp/err && untouched && deltafs status /tmp/state/deltafs/deltas/* | grep -qx "A prog"'
here asked-and-answered 'echo discard | deltafs try "$B" -- sh -c "exec < /dev/null; test -x prog && rm prog" 2> /tmp/err; cat /tmp/err; deltafs status /tmp/state/deltafs/deltas/* | grep -qx "A prog"'
here build-and-commit 'deltafs try --commit "$B" -- sh -c "touch src/f2.c && make -s && ./prog" 2> /tmp/err; cat /tmp/err; test -x "$B/prog" && "$B/prog" && test -s "$B/out/f8.o" && mounts'
here nothing-is-left 'for d in /tmp/state/deltafs/deltas/*; do test -e "$d" || continue; deltafs status "$d"; test -z "$(deltafs status "$d")" || exit; done'
here at-a-place 'mkdir -p /mnt/t && deltafs try --mount /mnt/t --discard "$B" -- sh -c "pwd && grep -q /mnt/t /proc/mounts" 2>/dev/null | grep -qx /mnt/t && ! grep /mnt/t /proc/mounts'
finish
