package deltalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const lockName = "lock"

// storeLock keeps other processes out. The operating system drops it when the
// process ends, however it ends, so it is never stale; what the file says of
// its holder is for messages only.
type storeLock struct{ f *flock.Flock }

// lockStore locks the store in dir: exclusively, or against writers only. The
// error is ErrInUse with what is known of the holder.
func lockStore(dir string, exclusive bool) (*storeLock, error) {
	path := filepath.Join(dir, lockName)
	f := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	try := f.TryLock
	if !exclusive {
		try = f.TryRLock
	}
	ok, err := try()
	if err != nil && !exclusive && errors.Is(err, fs.ErrPermission) || isReadOnlyFS(err) && !exclusive {
		return nil, nil // who cannot write cannot disturb; and no writer can be on a read-only medium
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%w by %s", ErrInUse, holder(path))
	}
	if exclusive {
		text := fmt.Sprintf("pid %d\ncommand %s\nsince %s\n",
			os.Getpid(), strings.Join(os.Args, " "), time.Now().Format(time.RFC3339))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
		}
	}
	return &storeLock{f: f}, nil
}

// holder says who has the lock, from what the file says.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return "another process"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, line := range lines {
		lines[i] = strings.ToValidUTF8(line, "?")
		if len(line) > 200 {
			lines[i] = lines[i][:200]
		}
	}
	return strings.Join(lines[:min(len(lines), 3)], ", ")
}

// unlock gives the lock up. The file stays: removing it would let two
// processes lock two files of one name.
func (l *storeLock) unlock() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}
