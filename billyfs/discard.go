package billyfs

// DiscardPaths gives up what was changed at and below some paths.
func (t *Tree) DiscardPaths(paths []string) ([]string, error) { panic("soon") }
