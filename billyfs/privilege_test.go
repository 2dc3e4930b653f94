package billyfs

import "os"

// isRoot says whether the test may make devices and give files away.
func isRoot() bool { return os.Geteuid() == 0 }
