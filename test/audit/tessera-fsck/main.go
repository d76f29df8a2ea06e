// Checks a copy of our access log with Tessera's fsck (github.com/transparency-dev/tessera/fsck), of which not a line is ours.
//
//	tessera-fsck FOLDER VKEY    exits 0, or says on standard error what does not fit and exits 1
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: tessera-fsck FOLDER VKEY")
	}
	verifier, err := note.NewVerifier(args[1])
	if err != nil {
		return err
	}
	hashes := func(raw []byte) ([][]byte, error) {
		bundle := api.EntryBundle{}
		if err := bundle.UnmarshalText(raw); err != nil {
			return nil, err
		}
		out := make([][]byte, 0, len(bundle.Entries))
		for _, entry := range bundle.Entries {
			out = append(out, rfc6962.DefaultHasher.HashLeaf(entry))
		}
		return out, nil
	}
	source := client.FileFetcher{Root: args[0]}
	return fsck.New(verifier.Name(), verifier, source, hashes, fsck.Opts{N: 1}).Check(context.Background())
}
