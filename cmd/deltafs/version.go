package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// storeFormat is the format version of the stores that this program makes.
const storeFormat = 1

// version is what this program is, for people and scripts.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Format   int    `json:"store_format"`
}

func newVersion(u *ui) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the store format",
		Args:  takes(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if asJSON {
				return u.json(v)
			}
			return u.printf("deltafs %s %s, %s, %s, store format %d\n", v.Version, v.Revision, v.Go, v.Platform, v.Format)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func thisVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Format: storeFormat}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
