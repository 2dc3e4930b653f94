# realwork.sh: what people do in a tree. Afterwards the base is bit for bit what it
# was: names, modes, owners, links, times and contents.
. /out/guest/lib.sh
export GOMEMLIMIT=700MiB LIMIT=900 HOME=/tmp/home GOFLAGS="-p=1 -mod=mod" GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0
mkdir -p $HOME
git config --file $HOME/gitconfig safe.directory '*'
export GIT_CONFIG_GLOBAL=$HOME/gitconfig
FILES=$((2000 * SOAK))

unpack_base
tar -C / -cf /tmp/tree.tar out/guest tmp/base/examples tmp/base/docs tmp/base/many 2>/dev/null
probe tree "$B" > /tmp/before
serve "$B" "$S" 2049 && mount_nfs 2049 || { echo "FAIL mount"; finish; }

check git-clone 'git clone -q /out/repo clone && cd clone && test "$(git log --oneline | wc -l)" = 21'
check git-status-clean 'cd clone && drop; test -z "$(git status --porcelain)"'
check git-commit 'cd clone && echo more >> README.md && git -c user.name=A -c user.email=a@example.org commit -qam more && git status --porcelain && test "$(git log --oneline | wc -l)" = 22'
check git-branch-switch 'cd clone && git checkout -q v1 && test ! "$(tail -1 README.md)" = more && git checkout -q main && test "$(tail -1 README.md)" = more'
check git-gc 'cd clone && git gc -q && ls .git/objects/pack/*.pack'
check git-fsck 'cd clone && drop; git fsck --full && test -z "$(git status --porcelain)"'
check git-init-in-base 'git init -q . && git add README.md cmd docs && git -c user.name=A -c user.email=a@example.org commit -qm base && git status --porcelain | head -3'
check untar 'mkdir untar && tar -C untar -xf /tmp/tree.tar && drop; diff -r /tmp/base/examples untar/tmp/base/examples && diff -r /tmp/base/docs untar/tmp/base/docs && test $(ls untar/tmp/base/many | wc -l) = 300'
check tar-of-the-mount 'tar -cf /tmp/back.tar docs examples links modes && mkdir /tmp/back && tar -C /tmp/back -xf /tmp/back.tar && diff -r /tmp/base/examples /tmp/back/examples'
check rsync 'rsync -rlpt /tmp/base/examples/ rsynced/ && test -z "$(rsync -rlptni --checksum /tmp/base/examples/ rsynced/)"'
# Compiling the standard library takes the guest a quarter of an hour: in a soak only.
[ "$SOAK" -gt 1 ] || check go-cache-copied 'cp -r /out/gocache gocache'
check go-build-cache-on-mount 'export GOCACHE=/mnt/n/gocache GOTMPDIR=/mnt/n/gotmp; mkdir -p $GOCACHE $GOTMPDIR; go build -o tally ./cmd/tally && ./tally -n 1 examples/poems/rain.txt | grep rain'
check go-build-again-from-cache 'export GOCACHE=/mnt/n/gocache GOTMPDIR=/mnt/n/gotmp; drop; rm tally; go build -o tally ./cmd/tally && ./tally -n 1 examples/poems/rain.txt | grep rain'
check sqlite 'sqlite3 db "create table t(a integer primary key, b text); with recursive n(i) as (select 1 union all select i+1 from n where i < 2000) insert into t select i, hex(randomblob(50)) from n; create index ti on t(b); delete from t where a % 3 = 0; update t set b = b || a where a % 5 = 0;" && drop; test "$(sqlite3 db "pragma integrity_check; select count(*) from t;" | tr "\n" " ")" = "ok 1334 "'
check sqlite-rollback 'sqlite3 dbw "pragma journal_mode=truncate; create table t(a); begin; insert into t values(1); insert into t values(2); commit; begin; insert into t values(3); rollback;" && test "$(sqlite3 dbw "pragma integrity_check; select sum(a) from t;" | tr "\n" " ")" = "ok 3 "'
check create-files "mkdir files && probe mk files $FILES 100 && drop; test \$(ls files | wc -l) = $FILES"
check list-files-long "drop; test \$(ls -lU files | wc -l) = $((FILES + 1))"
check rm-rf-files 'rm -rf files && test ! -e files'
check rename-tree 'mv clone clone2 && cd clone2 && drop; git status --porcelain'
check delete-half-of-base 'rm -rf docs many numbers.txt sparse.bin deep && ls'
here unmount 'umount /mnt/n'
stop
here fsck 'deltafs fsck /tmp/store'
here rebuilt-index-equals-old 'deltafs fsck --rebuild /tmp/store'
here base-untouched 'probe tree /tmp/base | diff /tmp/before -'
finish
