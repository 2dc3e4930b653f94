package main

import "github.com/spf13/cobra"

func newDump(u *ui) *cobra.Command { return &cobra.Command{Use: "dump"} }
